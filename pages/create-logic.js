/**
 * The rules of the form for a new workspace: sizes and prices, what is sent, where errors belong. Pure.
 * Drawing and sending are create-form.js's and api.js's business; whether a request is valid the API decides.
 */

import { duration, hourlyPrice, money, plain } from './format.js';

/**
 * @typedef {{hours_4_days_20: number, hours_8_days_20: number, always_on: number}} Scenarios
 * @typedef {{server_type: string, location: string, price_per_hour: number|null, scenarios?: Scenarios|null}} Offer
 * @typedef {{size: string, server_type: string, vcpu: number, memory_gib: number, disk_gb: number, location: string,
 *   price_per_hour: number|null, scenarios: Scenarios|null, offers: Offer[]}} Size
 * @typedef {{name: string, title: string, currency: string, images: string[], sizes: Size[],
 *   locations: {name: string, city: string, country: string}[]}} Provider
 * @typedef {{deployment: string, owner: string, simulation: null|{detail: string}, providers: Provider[],
 *   errors: import('./logic.js').ProviderError[], web_uis: {name: string, title: string}[],
 *   defaults: Record<string, any>, limits: Record<string, number>, configured: Record<string, boolean>}} Options
 * @typedef {{size: string, title: string, available: boolean, machine: string, memory: string, price: string,
 *   perHour: number|null, where: string, scenarios: {title: string, cost: string}[]}} SizeCard
 */

export const SIZES = ['small', 'medium', 'large'];

/** Fields whose values are secrets: they leave the page once, in the body of the request, and the form at once. */
export const SECRET_FIELDS = ['anthropic_api_key', 'claude_code_oauth_token', 'git_token'];

const SCENARIOS = [
  ['hours_4_days_20', '4 h × 20 days'],
  ['hours_8_days_20', '8 h × 20 days'],
  ['always_on', 'Always on'],
];

const TITLES = { small: 'Small', medium: 'Medium', large: 'Large' };

/**
 * The three cards, for one provider and one location (or wherever it is cheapest).
 * @param {Provider|undefined} provider @param {string|null} location @returns {SizeCard[]}
 */
export function sizeCards(provider, location) {
  return SIZES.map((size) => {
    const found = provider?.sizes.find((one) => one.size === size);
    const offer = found && offerIn(found, location);
    const card = { size, title: TITLES[size], available: Boolean(offer), machine: '', memory: '', price: '–', perHour: null, where: '', scenarios: [] };
    if (!found) return { ...card, where: 'Not offered here' };
    const machine = `${found.vcpu} vCPU`;
    const memory = `${found.memory_gib} GB memory · ${found.disk_gb} GB disk`;
    if (!offer) return { ...card, machine, memory, where: 'Not in this location' };
    return {
      ...card,
      machine,
      memory,
      price: hourlyPrice(offer.price_per_hour, provider.currency),
      perHour: offer.price_per_hour,
      where: `${plain(offer.server_type)} · ${plain(offer.location)}`,
      scenarios: SCENARIOS.map(([key, title]) => ({ title, cost: money(offer.scenarios?.[key], provider.currency) })),
    };
  });
}

/**
 * What a size costs in one location. Monthly ceilings make "always on" cheaper than its hours, and are known
 * for the cheapest offer only; elsewhere they are taken to be in proportion.
 * @param {Size} size @param {string|null} location
 */
function offerIn(size, location) {
  if (!location || location === size.location) return size;
  const offers = (size.offers ?? []).filter((offer) => offer.location === location);
  if (offers.length === 0) return null;
  // A provider that tells no price says null, which is no low price.
  const hourly = (one) => one.price_per_hour ?? Number.POSITIVE_INFINITY;
  const best = offers.reduce((one, other) => (hourly(other) < hourly(one) ? other : one));
  if (!size.scenarios || best.price_per_hour === null) return { ...best, scenarios: null };
  const ratio = size.price_per_hour > 0 ? best.price_per_hour / size.price_per_hour : 1;
  const scaled = Object.fromEntries(SCENARIOS.map(([key]) => [key, size.scenarios[key] * ratio]));
  return { ...best, scenarios: best.scenarios ?? scaled };
}

/**
 * Providers for the choice, the cheapest for this size first.
 * @param {Options} options @param {string} size @returns {{name: string, label: string}[]}
 */
export function providerChoices(options, size) {
  const price = (provider) => provider.sizes.find((one) => one.size === size)?.price_per_hour ?? Number.POSITIVE_INFINITY;
  return [...options.providers]
    .sort((one, other) => (price(one) === price(other) ? 0 : price(one) - price(other)))
    .map((provider) => {
      const perHour = price(provider);
      const suffix = Number.isFinite(perHour) ? ` · from ${hourlyPrice(perHour, provider.currency)}` : '';
      return { name: provider.name, label: plain(provider.title || provider.name) + suffix };
    });
}

/** @param {Provider|undefined} provider @returns {{name: string, label: string}[]} */
export function locationChoices(provider) {
  const places = (provider?.locations ?? []).map((place) => ({
    name: place.name,
    label: [place.city, place.country].filter(Boolean).map(plain).join(', ') + ` (${plain(place.name)})`,
  }));
  return [{ name: '', label: 'Cheapest with room' }, ...places.sort((one, other) => one.label.localeCompare(other.label, 'en'))];
}

/**
 * Idle limits to choose from, within what the API allows, its default always among them.
 * @param {Options} options @returns {{value: number, label: string}[]}
 */
export function idleChoices(options) {
  const least = options.limits?.idle_minutes_min ?? 5;
  const most = options.limits?.idle_minutes_max ?? Number.POSITIVE_INFINITY;
  const minutes = new Set([15, 30, 60, 120, 240, options.defaults.idle_minutes]);
  return [...minutes]
    .filter((one) => Number.isFinite(one) && one >= least && one <= most)
    .sort((one, other) => one - other)
    .map((value) => ({ value, label: duration(value * 60) }));
}

/**
 * The most that this workspace can cost: its price until the hard end.
 * @param {SizeCard|undefined} card @param {number} hours @param {string} currency
 */
export function worstCase(card, hours, currency) {
  if (!card?.available || !Number.isFinite(card.perHour) || !Number.isFinite(hours) || hours <= 0) return null;
  return `At most ${money(card.perHour * hours, currency)}, if it runs for all ${duration(hours * 3600)}.`;
}

/**
 * The body of `POST /vms`: what was left empty is left out, so that the API's defaults hold.
 * @param {Record<string, string|null|undefined>} values
 */
export function createBody(values) {
  const body = {};
  for (const [field, raw] of Object.entries(values)) {
    const text = typeof raw === 'string' ? raw.trim() : raw;
    if (text === '' || text === null || text === undefined) continue;
    body[field] = field === 'idle_minutes' || field === 'max_hours' ? Number(text) : text;
  }
  return body;
}

/**
 * Errors at their fields; those without a field of ours are kept, with the API's name for it.
 * @param {import('./api.js').Problem} problem @param {Set<string>} known
 * @returns {{fields: Map<string, string>, rest: string[]}}
 */
export function fieldErrors(problem, known) {
  const fields = new Map();
  const rest = [];
  for (const error of problem.errors ?? []) {
    const detail = plain(error.detail);
    if (!known.has(error.field)) {
      rest.push(`${plain(error.field)}: ${detail}`);
      continue;
    }
    const said = sentence(detail);
    fields.set(error.field, fields.has(error.field) ? `${fields.get(error.field)} ${said}` : said);
  }
  return { fields, rest };
}

/** The API's `must be …` as a sentence of its own, under the field that it speaks of. @param {string} detail */
function sentence(detail) {
  const begun = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/**
 * The key that makes a repeated request one creation: kept as long as the same thing is asked for, so that
 * pressing the button again after a lost answer cannot make a second VM.
 * @param {{key: string, body: string}|null} before @param {object} body @param {() => string} newKey
 */
export function attemptFor(before, body, newKey) {
  const text = JSON.stringify(body);
  return before?.body === text ? before : { key: newKey(), body: text };
}

/** Whether a failed creation may have happened all the same. @param {import('./api.js').Problem} problem */
export const outcomeUnknown = (problem) => ['unreachable', 'offline', 'timeout', 'unexpected_answer'].includes(problem.code) || problem.status === 504;

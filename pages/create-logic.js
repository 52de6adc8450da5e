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
 *   perHour: number|null, where: string, note: string, scenarios: {title: string, cost: string}[]}} SizeCard
 */

export const SIZES = ['small', 'medium', 'large'];

/** Fields whose values are secrets: they leave the page once, in the body of the request, and the form at once. */
export const SECRET_FIELDS = ['anthropic_api_key', 'claude_code_oauth_token', 'git_token', 'env'];

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
  /** @type {Map<string, string>} machine → the smallest size that it is offered as */
  const seen = new Map();
  return SIZES.map((size) => {
    const found = provider?.sizes.find((one) => one.size === size);
    const offer = found && offerIn(found, location);
    const card = { size, title: TITLES[size], available: Boolean(offer), machine: '', memory: '', price: '–', perHour: null, where: '', note: '', scenarios: [] };
    if (!found) return { ...card, where: 'Not offered here' };
    const machine = `${found.vcpu} vCPU`;
    const memory = `${found.memory_gib} GB memory · ${found.disk_gb} GB disk`;
    if (!offer) return { ...card, machine, memory, where: 'Not in this location' };
    const same = `${offer.server_type} ${offer.location} ${offer.price_per_hour}`;
    const first = seen.get(same);
    if (!first) seen.set(same, TITLES[size]);
    return {
      ...card,
      machine,
      memory,
      note: first ? `The same machine as ${first}` : '',
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
 * Every provider's best offer for this size, the cheapest first; those that tell no price or offer none are last.
 * Amounts of different currencies are compared as they stand, which the view says.
 * @param {Options} options @param {string} size
 * @returns {{name: string, title: string, available: boolean, machine: string, price: string, month: string}[]}
 */
export function providerOffers(options, size) {
  const found = (provider) => provider.sizes.find((one) => one.size === size);
  const price = (provider) => found(provider)?.price_per_hour ?? (found(provider) ? Number.MAX_VALUE : Number.POSITIVE_INFINITY);
  return [...options.providers]
    .sort((one, other) => (price(one) === price(other) ? 0 : price(one) - price(other)))
    .map((provider) => {
      const best = found(provider);
      const offer = { name: provider.name, title: plain(provider.title || provider.name), available: Boolean(best), machine: 'Not offered now', price: '', month: '' };
      if (!best) return offer;
      const month = best.scenarios?.hours_8_days_20;
      return {
        ...offer,
        machine: `${best.vcpu} vCPU · ${best.memory_gib} GB · ${plain(best.server_type)} · ${plain(best.location)}`,
        price: hourlyPrice(best.price_per_hour, provider.currency),
        month: Number.isFinite(month) ? `${money(month, provider.currency)} for 8 h × 20 days` : 'Price unknown',
      };
    });
}

/** What to know about a comparison. @param {Options} options */
export function comparisonNote(options) {
  const currencies = new Set(options.providers.map((one) => one.currency));
  return options.providers.length > 1 && currencies.size > 1 ? `Cheapest first; ${[...currencies].map(plain).join(' and ')} are compared as they stand.` : '';
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
 * Lines of `NAME=value` as the API wants them; a line without a name is what is wrong with it.
 * @param {string} text @returns {{env: Record<string, string>|null, wrong: string|null}}
 */
export function readEnv(text) {
  const lines = text.split('\n').map((line) => line.replace(/^\s*(export\s+)?/, '').replace(/\r$/, '')).filter((line) => line && !line.startsWith('#'));
  const env = {};
  for (const line of lines) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    // What stands there may be a secret, so it is counted and not repeated.
    if (!name) return { env: null, wrong: `Line ${lines.indexOf(line) + 1} is not NAME=value.` };
    env[name] = value.replace(/^(["'])(.*)\1$/, '$2');
  }
  return { env: lines.length > 0 ? env : null, wrong: null };
}

const NUMBERS = new Set(['idle_minutes', 'max_hours']);

/**
 * The body of `POST /vms`: what was left empty is left out, so that the API's defaults hold.
 * @param {Record<string, any>} values
 */
export function createBody(values) {
  const body = {};
  for (const [field, raw] of Object.entries(values)) {
    const text = typeof raw === 'string' ? raw.trim() : raw;
    if (text === '' || text === null || text === undefined || text === false) continue;
    if (NUMBERS.has(field)) body[field] = Number(text);
    else if (field === 'allow_from') body[field] = text.split(/[\s,]+/).filter(Boolean);
    else if (field === 'env') body[field] = readEnv(text).env ?? undefined;
    else body[field] = text;
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
    // `env.NAME` and `allow_from[2]` belong to their fields.
    const [, field, inner] = /^(\w+)(?:[.[](.+?)\]?)?$/.exec(error.field) ?? [];
    const detail = inner ? `${plain(inner)} ${plain(error.detail)}` : plain(error.detail);
    if (!known.has(field)) {
      rest.push(`${plain(error.field)}: ${plain(error.detail)}`);
      continue;
    }
    const said = sentence(detail);
    fields.set(field, fields.has(field) ? `${fields.get(field)} ${said}` : said);
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

/**
 * Words and figures for people: money, durations, times, and text that comes from elsewhere.
 * Pure; the clock is an argument. What the figures mean is decided in logic.js.
 */

const MINUTE_SECS = 60;
const HOUR_SECS = 3600;
const DAY_SECS = 86_400;

/** Characters that change how their neighbours are drawn: C0 and C1 controls, and all bidirectional controls. */
const DECEPTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Text from a repository, a provider or a VM, safe to show beside our own words: a name cannot reorder
 * or hide what stands next to it. (Markup is no danger here, since nothing is ever parsed as HTML.)
 * @param {unknown} text
 */
export function plain(text) {
  return text === null || text === undefined ? '' : String(text).replace(DECEPTIVE, '\ufffd');
}

/** @param {number} amount @param {string|null|undefined} currency @param {number} digits */
function amountText(amount, currency, digits) {
  const shape = { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits };
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency: currency ?? '', ...shape }).format(amount);
  } catch {
    // A currency that Intl does not know is shown as it came.
    return `${new Intl.NumberFormat('en', shape).format(amount)} ${plain(currency)}`.trim();
  }
}

/**
 * An amount of money: two digits, and never a false zero.
 * @param {number|null|undefined} amount @param {string|null|undefined} currency
 */
export function money(amount, currency) {
  if (!Number.isFinite(amount)) return '–';
  if (amount > 0 && amount < 0.01) return `<${amountText(0.01, currency, 2)}`;
  return amountText(amount, currency, 2);
}

/**
 * A price per hour: small VMs cost a cent, so four digits after the point.
 * @param {number|null|undefined} amount @param {string|null|undefined} currency
 */
export function hourlyPrice(amount, currency) {
  return Number.isFinite(amount) ? `${amountText(amount, currency, amount < 1 ? 4 : 2)}/h` : '–';
}

/**
 * A length of time in at most two units: `45 s`, `1 min 5 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
 * Seconds disappear from ten minutes on: nobody reads them, and they make a page flicker.
 * @param {number|null|undefined} seconds
 */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.floor(seconds));
  const pair = (big, bigUnit, small, smallUnit) => (small ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`);
  if (whole < MINUTE_SECS) return `${whole} s`;
  if (whole < 10 * MINUTE_SECS) return pair(Math.floor(whole / MINUTE_SECS), 'min', whole % MINUTE_SECS, 's');
  if (whole < HOUR_SECS) return `${Math.floor(whole / MINUTE_SECS)} min`;
  if (whole < DAY_SECS) return pair(Math.floor(whole / HOUR_SECS), 'h', Math.floor((whole % HOUR_SECS) / MINUTE_SECS), 'min');
  return pair(Math.floor(whole / DAY_SECS), 'd', Math.floor((whole % DAY_SECS) / HOUR_SECS), 'h');
}

/**
 * How long ago, in one unit. @param {number|null|undefined} minutes
 */
export function minutesAgo(minutes) {
  if (!Number.isFinite(minutes)) return 'never';
  if (minutes < 1) return 'just now';
  if (minutes < 120) return `${Math.floor(minutes)} min ago`;
  return `${Math.floor(minutes / 60)} h ago`;
}

/** Milliseconds since the epoch, or null for anything that is no time. @param {unknown} text */
export function instant(text) {
  const at = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : at;
}

/**
 * The time of day, with the weekday when it is not today.
 * @param {number|null} at @param {number} now @param {string} [timeZone] the reader's when absent
 */
export function clockTime(at, now, timeZone) {
  if (at === null) return '–';
  const day = (time) => new Intl.DateTimeFormat('en-CA', { dateStyle: 'short', timeZone }).format(time);
  const shape = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone };
  return new Intl.DateTimeFormat('en-GB', day(at) === day(now) ? shape : { weekday: 'short', ...shape }).format(at);
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * An address that may become a link or a new tab: https, or plain http on this very machine (the simulation).
 * Anything else, `javascript:` above all, is null.
 * @param {unknown} text
 */
export function safeUrl(text) {
  let url;
  try {
    url = new URL(String(text));
  } catch {
    return null;
  }
  const local = url.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  return (url.protocol === 'https:' || local) && !url.username && !url.password ? url.href : null;
}

/**
 * A one-time link that leads on to another of the VM's own addresses; without one, or with a stranger's, to where
 * it leads anyway.
 * @param {unknown} link @param {unknown} target @returns {string|null}
 */
export function leadingTo(link, target) {
  const url = safeUrl(link);
  const to = target ? safeUrl(target) : null;
  if (!url || !to || new URL(url).origin !== new URL(to).origin) return url;
  const it = new URL(url);
  it.searchParams.set('next', new URL(to).pathname);
  return it.href;
}

/**
 * A price as the API writes it: an object with a currency and one amount.
 * @param {{currency: string}|null|undefined} price
 */
export function priceOf(price) {
  const amount = Object.values(price ?? {}).find(Number.isFinite);
  return amount === undefined ? '' : money(amount, price.currency);
}

/**
 * What a list of workspaces means: states, deadlines, money, when to ask again. Pure: the clock and chance are
 * arguments. Boots are boot-logic.js's business, requests api.js's, the page vm-list.js's, the form's own rules are in
 * create-logic.js.
 */

import { isBooting, phaseTitle } from './boot-logic.js';
import { clockTime, duration, hourlyPrice, instant, minutesAgo, money, plain } from './format.js';

/**
 * @typedef {{phase: string, seconds: number}} PhaseTime
 * @typedef {{phase: string, code: string, detail?: string}} Reason
 * @typedef {{signal: string, age_minutes: number|null}} Signal
 * @typedef {{id: string, name: string, provider: string, location: string, server_type: string, size: string,
 *   profile: string, web_ui: string, repo_url: string|null, branch: string|null, owner: string,
 *   market?: 'on-demand'|'spot', state: string, phase: string, services_ready: boolean, attention: null|'waiting'|'done',
 *   created_at: string, age_seconds: number, ipv4: string|null, ipv6: string|null,
 *   cost: {currency: string, per_hour: number, so_far: number, until_idle?: number|null, until_expiry: number|null}|null,
 *   idle: {limit_minutes: number, active_at: string|null, deadline: string|null, verdict: Signal[]}|null,
 *   expires_at: string|null, last_seen_at: string|null, boot: {phases: PhaseTime[], reason: Reason|null}|null,
 *   urls: {web_ui?: string, terminal?: string, status?: string},
 *   ssh: {command: string, host_key: string|null}|null,
 *   tls: {state: 'trusted'|'self_signed', sha256: string}|null, stale?: boolean}} Vm
 * @typedef {{provider: string, code: string, detail: string, retry_after_seconds?: number}} ProviderError
 * @typedef {{count: number, currency: string|null, price_per_hour: number, cost_so_far: number, cost_until_expiry: number}} Totals
 * @typedef {{vms: Vm[], errors: ProviderError[], totals: Totals}} Listing
 * @typedef {'good'|'busy'|'warn'|'bad'|'quiet'} Tone
 */

const REASONS = {
  apt_failed: 'System packages could not be installed.',
  download_failed: 'A program could not be downloaded.',
  docker_failed: 'The container engine did not start.',
  not_found: 'The repository or branch does not exist, or the token may not see it.',
  auth_failed: 'The repository refused the credentials. A private one needs a git token.',
  unreachable: 'The repository’s host could not be reached.',
  forbidden_address: 'The repository’s address leads into a private network.',
  clone_failed: 'Cloning the repository failed.',
  not_restored: 'The earlier work could not be put back, so this is a new clone. Its backups are still there: a new workspace can start with one of them.',
  build_failed: 'The devcontainer could not be built.',
  fallback: 'The repository’s own devcontainer failed to build, so the default one is running.',
  ui_failed: 'The web UI could not be installed. The terminal works.',
  ui_down: 'The web UI did not come up. The terminal works.',
  open_registration: 'The web UI would have let strangers register, so it stays closed.',
  no_space: 'The disk is full.',
  timeout: 'It took too long and was given up.',
  internal: 'The boot script failed.',
};

const SIGNALS = {
  agent: 'Agent’s tools',
  transcript: 'Agent’s conversation',
  files: 'Files of the workspace',
  connection: 'Browser connection',
  ssh: 'SSH connection',
  build: 'Devcontainer build',
  keep: 'Keep-alive',
};

/** A provider's title, or its name as well as it can be shown. @param {Map<string, string>} titles @param {string} name */
export function providerTitle(titles, name) {
  return titles.get(name) ?? plain(name).replace(/^./, (first) => first.toUpperCase());
}

/**
 * The one word for a workspace, from its power, its phase and whether it still reports.
 * @param {Vm} vm @returns {{label: string, tone: Tone}}
 */
export function stateOf(vm) {
  switch (vm.state) {
    case 'deleting':
      return { label: 'Deleting', tone: 'quiet' };
    case 'stopped':
      return { label: 'Stopped', tone: 'quiet' };
    case 'stopping':
      return { label: 'Stopping', tone: 'quiet' };
    case 'creating':
    case 'running':
      break;
    default:
      return { label: 'State unknown', tone: 'warn' };
  }
  if (vm.phase === 'failed') return { label: 'Failed', tone: 'bad' };
  if (vm.phase === 'stopping' || vm.want === 'stop') return { label: 'Stopping', tone: 'quiet' };
  if (isBooting(vm)) return { label: 'Starting', tone: 'busy' };
  if (vm.want === 'snapshot') return { label: 'Taking a snapshot', tone: 'busy' };
  if (vm.phase !== 'ready') return { label: phaseTitle(vm.phase), tone: 'warn' };
  return vm.services_ready ? { label: 'Ready', tone: 'good' } : { label: 'Not reporting', tone: 'warn' };
}

/** Rented on the spot market: cheaper, may be taken back, and gone when it stops. @param {Vm} vm */
export const isSpot = (vm) => vm.market === 'spot';

/**
 * What makes sense now. The API has the last word. @param {Vm} vm
 * @returns {{start: boolean, stop: boolean, extend: boolean, snapshot: boolean}}
 */
export function actionsOf(vm) {
  const asked = vm.want === 'stop' || vm.want === 'snapshot';
  const runs = vm.state === 'running' && vm.phase !== 'stopping';
  return {
    start: vm.state === 'stopped',
    stop: runs && !asked && !isSpot(vm),
    extend: (runs || vm.state === 'creating') && !asked,
    snapshot: vm.state === 'stopped' || (runs && !asked && !isBooting(vm)),
  };
}

/**
 * What went wrong, in which phase. @param {Vm} vm
 * @returns {{title: string, detail: string, fatal: boolean}|null}
 */
export function failure(vm) {
  const reason = vm.boot?.reason ?? null;
  const fatal = vm.phase === 'failed';
  if (!reason) return fatal ? { title: 'The boot failed', detail: 'The VM gave no reason.', fatal } : null;
  const detail = plain(reason.detail) || REASONS[reason.code] || plain(reason.code);
  const title = reason.code === 'not_saved' ? 'Work is not saved' : `${phaseTitle(reason.phase)} ${fatal ? 'failed' : 'needs a look'}`;
  return { title, detail, fatal };
}

/**
 * When it deletes itself for idleness. @param {Vm} vm @param {number} now
 * @returns {{value: string, hint: string, tone: Tone}}
 */
export function idleText(vm, now) {
  const deadline = instant(vm.idle?.deadline);
  if (!vm.idle || deadline === null) return { value: 'Never', hint: 'No idle limit', tone: 'quiet' };
  const hint = `Limit ${duration(vm.idle.limit_minutes * 60)}`;
  if (vm.state === 'deleting' || vm.state === 'stopped') return { value: '–', hint, tone: 'quiet' };
  const left = Math.floor((deadline - now) / 1000);
  if (left <= 0) return { value: 'Any moment', hint, tone: 'warn' };
  return { value: `in ${duration(left)}`, hint, tone: left < 300 ? 'warn' : 'quiet' };
}

/**
 * Signal by signal, newest first: what counts as activity and when it was seen.
 * @param {Vm} vm @returns {{title: string, age: string, alive: boolean}[]}
 */
export function verdictLines(vm) {
  const limit = vm.idle?.limit_minutes ?? 0;
  const order = (signal) => signal.age_minutes ?? Number.POSITIVE_INFINITY;
  return [...(vm.idle?.verdict ?? [])]
    .sort((one, other) => (order(one) === order(other) ? 0 : order(one) - order(other)))
    .map((signal) => ({
      title: SIGNALS[signal.signal] ?? plain(signal.signal),
      age: minutesAgo(signal.age_minutes),
      alive: signal.age_minutes !== null && signal.age_minutes < limit,
    }));
}

/** One sentence: why it still lives, or why it is about to go. @param {Vm} vm @param {number} now */
export function verdictSummary(vm, now) {
  const [newest] = verdictLines(vm);
  if (newest?.alive) return `Kept alive by: ${newest.title}, ${newest.age}.`;
  const active = instant(vm.idle?.active_at);
  const since = active === null ? '' : ` for ${duration((now - active) / 1000)}`;
  if (vm.idle?.verdict?.length) return `No activity${since}. Nothing keeps it alive.`;
  return isBooting(vm) ? 'The clock runs since creation; the VM reports activity once it is up.' : 'The VM has reported no activity yet.';
}

/** @param {Vm} vm @param {number} now @returns {{value: string, hint: string, tone: Tone}} */
export function expiryText(vm, now) {
  const at = instant(vm.expires_at);
  if (at === null) return { value: 'Never', hint: 'No end set', tone: 'quiet' };
  const left = Math.floor((at - now) / 1000);
  const value = left <= 0 ? 'Any moment' : `in ${duration(left)}`;
  return { value, hint: clockTime(at, now), tone: left < 900 ? 'warn' : 'quiet' };
}

/**
 * How much of its times is left, 0 to 1, or null where there is none: until idle deletion and until expiry.
 * @param {Vm} vm @param {number} now @returns {{idle: number|null, expiry: number|null}}
 */
export function timeLeft(vm, now) {
  const share = (end, whole) => (end === null || !(whole > 0) ? null : Math.min(1, Math.max(0, (end - now) / whole)));
  const deadline = ['running', 'creating'].includes(vm.state) ? instant(vm.idle?.deadline) : null;
  const expires = instant(vm.expires_at);
  return { idle: share(deadline, (vm.idle?.limit_minutes ?? 0) * 60_000), expiry: share(expires, expires - (instant(vm.created_at) ?? now)) };
}

/** @param {Vm} vm @returns {{value: string, hint: string}} */
export function costText(vm) {
  if (!vm.cost) return { value: '–', hint: 'Price unknown' };
  const { currency, per_hour, so_far, until_expiry } = vm.cost;
  const most = until_expiry === null ? '' : `, ${money(until_expiry, currency)} until expiry`;
  return { value: hourlyPrice(per_hour, currency), hint: `${money(so_far, currency)} so far${most}` };
}

/** What it has cost when it goes now, as a sentence. @param {Vm} vm */
export function costNote(vm) {
  return vm.cost ? `It has cost ${money(vm.cost.so_far, vm.cost.currency)} so far and costs nothing more afterwards.` : 'It costs nothing more afterwards.';
}

/**
 * What deletion destroys. @param {Vm} vm @param {number} now @returns {string[]}
 */
export function deleteLosses(vm, now) {
  const active = instant(vm.idle?.active_at);
  const minutes = active === null ? null : (now - active) / 60_000;
  const losses = [
    `The server ${plain(vm.server_type)} in ${plain(vm.location)} and its whole disk`,
    'Every change that is not pushed: uncommitted files, local commits, stashes',
    'Running agents, terminals and their history',
  ];
  if (vm.attention === 'waiting') losses.unshift('The agent’s question that waits for your answer');
  else if (minutes !== null && minutes < 10 && !isBooting(vm)) losses.unshift(`Work in progress: last activity ${minutesAgo(minutes)}`);
  return losses;
}

/**
 * The money strip. Without one currency for all, the totals are added up per currency. What has no known price is in no
 * sum, which the note says.
 * @param {Vm[]} vms @param {Totals} totals
 * @returns {{hour: string, soFar: string, expiry: string, note: string}}
 */
export function totalsText(vms, totals) {
  const unknown = vms.filter((vm) => !vm.cost).length;
  const endless = vms.filter((vm) => vm.cost && vm.cost.until_expiry === null).length;
  const note = [
    unknown > 0 ? `${unknown} without a known price` : '',
    endless > 0 ? `${endless} without an end, and so without a worst case` : '',
  ].filter(Boolean).join(', ');
  if (vms.length > 0 && unknown === vms.length) return { hour: '–', soFar: '–', expiry: '–', note };
  return { ...sumsText(vms, totals), ...(endless > 0 && unknown + endless === vms.length && { expiry: '–' }), note };
}

/** @param {Vm[]} vms @param {Totals} totals */
function sumsText(vms, totals) {
  if (totals.currency || vms.length === 0) {
    const { currency } = totals;
    return {
      hour: hourlyPrice(totals.price_per_hour, currency),
      soFar: money(totals.cost_so_far, currency),
      expiry: money(totals.cost_until_expiry, currency),
    };
  }
  const sums = new Map();
  for (const { cost } of vms) {
    if (!cost) continue;
    const sum = sums.get(cost.currency) ?? { hour: 0, soFar: 0, expiry: 0 };
    sum.hour += cost.per_hour;
    sum.soFar += cost.so_far;
    sum.expiry += cost.until_expiry ?? 0;
    sums.set(cost.currency, sum);
  }
  const joined = (text) => [...sums].map(([currency, sum]) => text(sum, currency)).join(' + ');
  return {
    hour: joined((sum, currency) => hourlyPrice(sum.hour, currency)),
    soFar: joined((sum, currency) => money(sum.soFar, currency)),
    expiry: joined((sum, currency) => money(sum.expiry, currency)),
  };
}

/**
 * The list to show: newest first. VMs of a provider that fails now stay as they were last seen, marked
 * `stale`, because they go on costing money; what was just deleted here does not come back for a moment.
 * @param {Vm[]} before @param {Listing} listing @param {Set<string>} gone
 * @returns {Vm[]}
 */
export function mergeVms(before, listing, gone = new Set()) {
  const failing = new Set(listing.errors.map((error) => error.provider));
  const fresh = new Set(listing.vms.map((vm) => vm.id));
  const kept = before.filter((vm) => failing.has(vm.provider) && !fresh.has(vm.id)).map((vm) => ({ ...vm, stale: true }));
  const age = (vm) => instant(vm.created_at) ?? 0;
  return [...listing.vms, ...kept]
    .filter((vm) => !gone.has(vm.id))
    .sort((one, other) => age(other) - age(one) || (one.id < other.id ? -1 : 1));
}

/**
 * How far the API's clock is ahead of this device's, in milliseconds: deadlines are the API's, and a
 * phone's clock may be wrong. Ages come in whole seconds, so less than two says nothing.
 * @param {Vm[]} vms @param {number} receivedAt
 */
export function clockOffset(vms, receivedAt) {
  const vm = vms.find((one) => instant(one.created_at) !== null && Number.isFinite(one.age_seconds));
  if (!vm) return 0;
  const offset = instant(vm.created_at) + vm.age_seconds * 1000 - receivedAt;
  return Math.abs(offset) < 2000 ? 0 : offset;
}

const POLL_BUSY_MS = 4000;
const POLL_CALM_MS = 20_000;
const POLL_EMPTY_MS = 45_000;
const POLL_MOST_MS = 120_000;

/** When to look again at providers that fail: none may be asked before the last of them allows it. @param {ProviderError[]} errors */
export function retryAfter(errors) {
  const asked = errors.map((error) => error.retry_after_seconds).filter(Number.isFinite);
  return asked.length > 0 ? Math.max(...asked) : null;
}

/**
 * How long to wait before the next look: short while something changes, long after trouble (doubling, and
 * never before the moment that the API asked for), spread by chance so that tabs do not march in step.
 * `failures` counts answers that were none, `troubled` those in which a provider was missing: then the others' changes
 * are still worth a look now and then.
 * @param {{vms: Vm[], failures: number, troubled?: number, retryAfterSeconds: number|null, random: number}} about
 */
export function pollDelay({ vms, failures, troubled = 0, retryAfterSeconds, random }) {
  const backoff = (times) => (times > 0 ? Math.min(POLL_MOST_MS, 5000 * 2 ** (times - 1)) : 0);
  const asked = (retryAfterSeconds ?? 0) * 1000;
  if (failures > 0) return Math.round(Math.max(backoff(failures), asked) * (1 + 0.2 * random));
  const changing = vms.some((vm) => !vm.stale && (isBooting(vm) || ['stop', 'snapshot'].includes(vm.want) || vm.state === 'deleting' || vm.state === 'stopping'));
  const calm = vms.length === 0 ? POLL_EMPTY_MS : POLL_CALM_MS;
  const trouble = Math.min(backoff(troubled), changing ? POLL_CALM_MS : POLL_MOST_MS);
  return Math.round(Math.max(changing ? POLL_BUSY_MS : calm, trouble, asked) * (1 + 0.1 * random));
}

/** @param {Vm[]} vms @param {string} view */
export function pageTitle(vms, view) {
  const waiting = vms.filter((vm) => vm.attention === 'waiting').length;
  const booting = vms.filter((vm) => isBooting(vm) && !vm.stale).length;
  const news = waiting > 0 ? `(${waiting} waiting) ` : booting > 0 ? `(${booting} starting) ` : '';
  return `${news}${view} · Mayfly`;
}

/**
 * What changed in a way that a listener should hear. @param {Vm[]} before @param {Vm[]} after
 */
export function newsBetween(before, after) {
  const old = new Map(before.map((vm) => [vm.id, vm]));
  return after.flatMap((vm) => {
    const was = old.get(vm.id);
    const name = plain(vm.name);
    if (!was) return [];
    if (vm.attention === 'waiting' && was.attention !== 'waiting') return [`${name} waits for your answer.`];
    if (stateOf(vm).label !== stateOf(was).label) return [`${name}: ${stateOf(vm).label}.`];
    return vm.phase === was.phase ? [] : [`${name}: ${phaseTitle(vm.phase)}.`];
  });
}

/**
 * Who is in trouble, when the API answered with a problem or not at all.
 * @param {import('./api.js').Problem} problem @param {string} apiName
 * @returns {{title: string, detail: string}}
 */
export function troubleText(problem, apiName) {
  const providerTrouble = problem.code?.startsWith('provider_');
  if (problem.code === 'offline') return { title: 'This device is offline', detail: 'The list goes on by itself when the network is back.' };
  if (problem.code === 'unreachable' || problem.code === 'timeout') {
    return { title: 'The Mayfly API does not answer', detail: `No answer from ${plain(apiName)}. What you see is the last state known.` };
  }
  const title = providerTrouble
    ? 'The cloud provider is in trouble'
    : problem.code === 'misconfigured'
      ? 'The Mayfly API is not configured completely'
      : `The Mayfly API answered ${problem.status}`;
  const fields = (problem.errors ?? []).map((error) => `${plain(error.field)}: ${plain(error.detail)}`);
  return { title, detail: [plain(problem.detail), ...fields].filter(Boolean).join(' ') };
}

/** Where a server was tried. @param {{server_type: string, location: string, outcome: string}[]} attempts */
export function attemptLines(attempts) {
  const words = { created: 'created', capacity: 'no room', quota: 'over the quota', locked: 'locked' };
  return (attempts ?? []).map((one) => `${plain(one.server_type)} in ${plain(one.location)}: ${words[one.outcome] ?? plain(one.outcome)}`);
}

const VIEWS = ['new', 'snapshots', 'costs', 'leftovers'];

/**
 * The address after `#`. @param {string} hash
 * @returns {{view: string, repo: string|null, branch: string|null, snapshot: string|null}}
 */
export function parseHash(hash) {
  const [name, query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const view = VIEWS.includes(name) ? name : 'list';
  const parameters = new URLSearchParams(view === 'new' ? query : '');
  return { view, repo: parameters.get('repo'), branch: parameters.get('branch'), snapshot: parameters.get('snapshot') };
}

/**
 * The API's address as typed; empty means the origin that the page came from.
 * @param {string} typed @param {string} origin @returns {{ok: true, url: string}|{ok: false, reason: string}}
 */
export function apiAddress(typed, origin) {
  const text = typed.trim();
  if (!text) return { ok: true, url: origin };
  let url;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    return { ok: false, reason: 'This is no complete address.' };
  }
  const local = ['localhost', '127.0.0.1'].includes(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) {
    return { ok: false, reason: 'The address must begin with https://, because the token travels with every request.' };
  }
  if (url.username || url.password) return { ok: false, reason: 'Leave user name and password out of the address.' };
  return { ok: true, url: url.origin + url.pathname.replace(/\/+$/, '') };
}

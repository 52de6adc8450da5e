/**
 * Wires the page: session, views, polling, actions. The state lives here; the views draw what they are given.
 * What things mean is in logic.js, requests are in api.js.
 */

import { createApi } from './api.js';
import { askDelete, showCreated } from './dialogs.js';
import { announce, setText, show } from './dom.js';
import { plain, safeUrl } from './format.js';
import { clockOffset, mergeVms, newsBetween, pageTitle, parseHash, pollDelay, troubleText } from './logic.js';
import { forgetSession, loadSession, saveSession, watchForgotten } from './session.js';
import { mountSignIn } from './sign-in.js';
import { mountVmList } from './vm-list.js';

const TICK_MS = 1000;
/** Prices change rarely, but a form that was open since yesterday should not promise yesterday's. */
const OPTIONS_FRESH_MS = 10 * 60_000;
/** Providers' lists lag behind what they have just been told. */
const AFTERGLOW_MS = 60_000;
/** How long a row shows what an action said, and what its button adds. */
const NEWS_MS = 20_000;
const EXTEND_MINUTES = 60;
const SIMULATION = 'This is a simulation: no server is rented and nothing costs money.';

const byId = (id) => document.getElementById(id);
const views = { 'sign-in': byId('view-sign-in'), list: byId('view-list'), new: byId('view-new') };
const viewTitles = { 'sign-in': 'Sign in', list: 'Workspaces', new: 'New workspace' };

/** @type {import('./session.js').Session|null} */
let session = null;
let api = null;
let options = null;
let optionsAt = 0;
let state = emptyState();
let pollTimer = 0;
let nextPollAt = 0;
let currentView = '';

function emptyState() {
  return {
    vms: [], totals: null, errors: [], problem: null, failures: 0, loaded: false, updatedAt: null, offset: 0, asking: false,
    pending: new Map(), rowErrors: new Map(), rowNews: new Map(), blocked: new Map(), since: new Map(),
    /** id → until when it stays hidden */
    gone: new Map(),
    /** id → a VM just created that the provider's list may not show yet */
    fresh: new Map(),
  };
}

const signIn = mountSignIn(views['sign-in'], {
  defaultApi: document.querySelector('meta[name="mayfly-api"]').content.trim(),
  onSimulation: (healthz) => showSimulation(healthz?.simulation ? healthz.simulation.detail || SIMULATION : null),
  onSignedIn(newSession, mine, newOptions) {
    saveSession(newSession, mine);
    start(newSession);
    takeOptions(newOptions);
    route();
  },
});

const list = mountVmList(views.list, {
  open: openVm,
  remove: removeVm,
  stop: (vm) => act(vm, 'stopping', 'Not stopped', api.stop),
  start: (vm) => act(vm, 'starting', 'Not started', api.start),
  extend: (vm) => act(vm, 'extending', 'Not extended', (id) => api.extend(id, EXTEND_MINUTES)),
  retry: () => poll(),
  startFrom(repo) {
    window.location.hash = repo ? `new?repo=${encodeURIComponent(repo)}` : 'new';
  },
});

/** The form is fetched when somebody first goes there (or has time to spare), not before the first view. */
let formLoading = null;
let form = null;
function loadForm() {
  formLoading ??= import('./create-form.js').then(
    ({ mountCreateForm }) => {
      form = mountCreateForm(views.new, formActions);
      if (options) form.update(options);
      return form;
    },
    () => {
      formLoading = null;
      return null;
    },
  );
  return formLoading;
}

const formActions = {
  send: async (body, key) => {
    const asked = session;
    const answer = await api.create(body, key);
    if (!answer.ok && answer.problem.status === 401 && asked === session) rejected();
    return answer;
  },
  onCreated,
};

/** @param {import('./session.js').Session} newSession */
function start(newSession) {
  session = newSession;
  api = createApi(session.apiUrl, session.token);
  options = null;
  optionsAt = 0;
  state = emptyState();
  show(byId('bar'), true);
}

/** Ends the session here; everything that belonged to it leaves the page. @param {{title: string, detail: string}|null} notice */
function signOut(notice = null) {
  const apiUrl = session?.apiUrl ?? '';
  forgetSession();
  clearTimeout(pollTimer);
  session = null;
  api = null;
  options = null;
  state = emptyState();
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close('cancel');
  show(byId('bar'), false);
  form?.reset();
  draw();
  byId('announcer').replaceChildren();
  enter('sign-in');
  signIn.enter(notice, apiUrl);
}

function rejected() {
  signOut({ title: 'Please sign in again', detail: 'The API no longer accepts the token that was used here.' });
}

/** @param {string} view */
function enter(view) {
  const changed = currentView !== view;
  currentView = view;
  for (const [name, element] of Object.entries(views)) show(element, name === view);
  draw();
  if (changed) {
    window.scrollTo(0, 0);
    if (view !== 'sign-in') views[view].querySelector('h1').focus({ preventScroll: true });
  }
}

/** Shows what the address asks for. Nothing is ever created by an address alone. */
function route() {
  if (!session) return;
  const { view, repo, branch } = parseHash(window.location.hash);
  enter(view);
  if (view === 'new') fillForm(repo, branch);
  if (Date.now() - optionsAt > OPTIONS_FRESH_MS) askOptions();
  if (!state.loaded || view === 'list') poll();
  else schedule();
}

async function fillForm(repo, branch) {
  const loaded = await loadForm();
  if (!session || currentView !== 'new') return;
  if (loaded) loaded.prefill(repo, branch);
  else {
    // The network was away for a moment: the list stays usable and says so.
    history.replaceState(null, '', '#');
    enter('list');
    announce('The form could not be loaded. Try again.');
  }
}

async function askOptions() {
  const asked = session;
  const answer = await api.options();
  if (asked !== session) return;
  if (answer.ok) takeOptions(answer.data);
  else if (answer.problem.status === 401) rejected();
  else form?.setTrouble(troubleText(answer.problem, session.apiUrl));
}

function takeOptions(fresh) {
  options = fresh;
  optionsAt = Date.now();
  form?.update(fresh);
  if (!form) globalThis.requestIdleCallback?.(loadForm);
  showSimulation(fresh.simulation ? fresh.simulation.detail || SIMULATION : null);
  setText(byId('deployment'), plain(fresh.deployment));
  setText(byId('owner'), plain(fresh.owner));
  draw();
}

/** @param {string|null} detail */
function showSimulation(detail) {
  show(byId('simulation'), detail !== null);
  setText(byId('simulation-text'), plain(detail ?? ''));
}

async function poll() {
  clearTimeout(pollTimer);
  if (!session || state.asking) return;
  const asked = session;
  const current = state;
  current.asking = true;
  draw();
  const answer = await api.vms();
  if (asked !== session) return;
  current.asking = false;
  if (answer.ok) takeListing(answer.data);
  else if (answer.problem.status === 401) return void rejected();
  else {
    state.problem = answer.problem;
    state.failures += 1;
  }
  // The form's prices and names come with the API's recovery, not only after a reload.
  if (answer.ok && !options && current.updatedAt !== null) askOptions();
  draw();
  schedule();
}

/** @param {import('./logic.js').Listing} listing */
function takeListing(listing) {
  const receivedAt = Date.now();
  const listed = new Set(listing.vms.map((vm) => vm.id));
  for (const [id, { until }] of state.fresh) if (listed.has(id) || until < receivedAt) state.fresh.delete(id);
  for (const [id, until] of state.gone) if (until < receivedAt) state.gone.delete(id);
  const vms = [...listing.vms, ...[...state.fresh.values()].map(({ vm }) => vm)];
  const merged = mergeVms(state.vms, { ...listing, vms, errors: listing.errors ?? [] }, new Set(state.gone.keys()));
  if (state.loaded) for (const news of newsBetween(state.vms, merged)) announce(news);
  state.offset = clockOffset(listing.vms, receivedAt);
  rememberPhases(merged, receivedAt + state.offset);
  Object.assign(state, { vms: merged, totals: listing.totals, errors: listing.errors ?? [], problem: null, failures: 0, loaded: true, updatedAt: receivedAt });
}

/** Since when each VM is in its phase, as far as this page has seen it begin. */
function rememberPhases(vms, now) {
  const known = state.since;
  state.since = new Map(
    vms.map((vm) => {
      const before = known.get(vm.id);
      if (before?.phase === vm.phase) return [vm.id, before];
      return [vm.id, { phase: vm.phase, at: before ? now : null }];
    }),
  );
}

function schedule() {
  clearTimeout(pollTimer);
  if (!session || document.hidden || state.asking) return;
  const delay = pollDelay({ vms: state.vms, failures: state.failures, retryAfterSeconds: state.problem?.retry_after_seconds ?? null, random: Math.random() });
  nextPollAt = Date.now() + delay;
  pollTimer = setTimeout(poll, delay);
}

function draw() {
  const now = Date.now();
  document.title = session ? pageTitle(state.vms, viewTitles[currentView] ?? '') : 'Sign in · Mayfly';
  const trouble = state.problem && {
    ...troubleText(state.problem, session?.apiUrl ?? ''),
    retryInSeconds: state.asking ? null : Math.max(0, Math.ceil((nextPollAt - now) / 1000)),
  };
  list.update({
    ...state,
    trouble,
    now: now + state.offset,
    updatedAt: state.updatedAt === null ? null : state.updatedAt + state.offset,
    titles: new Map((options?.providers ?? []).map((one) => [one.name, plain(one.title)])),
    owner: options?.owner ?? '',
  });
}

/** The row answers at once; the truth follows. @param {import('./logic.js').Vm} vm */
async function removeVm(vm) {
  if (!(await askDelete(vm, Date.now() + state.offset)) || !session) return;
  const asked = session;
  state.pending.set(vm.id, 'deleting');
  state.rowErrors.delete(vm.id);
  announce(`Deleting ${plain(vm.name)}.`);
  draw();
  const answer = await api.remove(vm.id);
  if (asked !== session) return;
  state.pending.delete(vm.id);
  if (answer.ok || answer.problem.status === 404) {
    state.gone.set(vm.id, Date.now() + AFTERGLOW_MS);
    state.fresh.delete(vm.id);
    state.vms = state.vms.filter((one) => one.id !== vm.id);
    announce(`${plain(vm.name)} is deleted.`);
    draw();
    poll();
  } else if (answer.problem.status === 401) rejected();
  else failAction(vm, `Not deleted: ${reasonOf(answer.problem)}`);
}

/**
 * Stops, starts or extends: the row says at once that it was asked for, then what the API makes of it.
 * @param {import('./logic.js').Vm} vm @param {'stopping'|'starting'|'extending'} doing @param {string} failed
 * @param {(id: string) => Promise<import('./api.js').Answer>} call
 */
async function act(vm, doing, failed, call) {
  if (state.pending.has(vm.id)) return;
  const asked = session;
  state.pending.set(vm.id, doing);
  state.rowErrors.delete(vm.id);
  state.rowNews.delete(vm.id);
  draw();
  const answer = await call(vm.id);
  if (asked !== session) return;
  state.pending.delete(vm.id);
  if (answer.ok) {
    state.vms = state.vms.map((one) => (one.id === vm.id ? answer.data.vm : one));
    state.rowNews.set(vm.id, plain(answer.data.detail));
    setTimeout(() => state.rowNews.delete(vm.id), NEWS_MS);
    announce(`${plain(vm.name)}: ${plain(answer.data.detail)}`);
    draw();
    poll();
  } else if (answer.problem.status === 401) rejected();
  else failAction(vm, `${failed}: ${reasonOf(answer.problem)}`);
}

/**
 * Opens the workspace in a tab of its own. The tab is made within the click, since browsers block those that
 * come later; it is cut off from this page before it goes anywhere.
 * @param {import('./logic.js').Vm} vm
 */
async function openVm(vm) {
  const ready = state.blocked.get(vm.id);
  if (ready) {
    state.blocked.delete(vm.id);
    window.open(ready, '_blank', 'noopener,noreferrer');
    draw();
    return;
  }
  if (state.pending.has(vm.id)) return;
  const asked = session;
  const tab = window.open('about:blank', '_blank');
  if (tab) {
    tab.opener = null;
    tab.document.title = `Opening ${plain(vm.name)}…`;
  }
  state.pending.set(vm.id, 'opening');
  state.rowErrors.delete(vm.id);
  draw();
  const answer = await api.open(vm.id);
  if (asked !== session) return void tab?.close();
  state.pending.delete(vm.id);
  const url = answer.ok ? safeUrl(answer.data.url) : null;
  if (url === null) {
    tab?.close();
    if (!answer.ok && answer.problem.status === 401) return void rejected();
    failAction(vm, `Not opened: ${answer.ok ? 'the API gave no usable address.' : reasonOf(answer.problem)}`);
    return;
  }
  if (tab && !tab.closed) tab.location.replace(url);
  else {
    // One more click does it; the link is good for a minute.
    state.blocked.set(vm.id, url);
    setTimeout(() => state.blocked.delete(vm.id), (answer.data.expires_in_seconds ?? 60) * 1000);
    announce('The browser blocked the new tab. Press Open now.');
  }
  draw();
}

function failAction(vm, text) {
  state.rowErrors.set(vm.id, text);
  draw();
  poll();
}

/** @param {import('./api.js').Problem} problem */
function reasonOf(problem) {
  const { title, detail } = troubleText(problem, session?.apiUrl ?? '');
  return problem.status === 0 ? title : detail || title;
}

/** @param {any} created the answer of `POST /vms` */
async function onCreated(created) {
  if (!created.vm?.id) return void poll();
  state.fresh.set(created.vm.id, { vm: created.vm, until: Date.now() + AFTERGLOW_MS });
  state.vms = mergeVms([], { vms: [created.vm, ...state.vms.filter((vm) => vm.id !== created.vm.id)], errors: [], totals: null });
  rememberPhases(state.vms, Date.now() + state.offset);
  history.replaceState(null, '', '#');
  enter('list');
  poll();
  await showCreated(created);
  views.list.querySelector(`[data-key="${CSS.escape(created.vm.id)}"]`)?.rowParts.name.focus();
}

// The fragment belongs to the views, so the skip link must not change it.
document.querySelector('.skip-link').addEventListener('click', (event) => {
  event.preventDefault();
  byId('content').focus();
});
byId('sign-out').addEventListener('click', () => signOut());
window.addEventListener('hashchange', route);
window.addEventListener('online', () => poll());
watchForgotten(() => session && signOut());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(pollTimer);
  else if (session) poll();
});
setInterval(() => {
  if (session && !document.hidden) draw();
}, TICK_MS);

const saved = loadSession();
if (saved) {
  start(saved);
  route();
} else signOut();

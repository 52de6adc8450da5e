/**
 * Wires the page: session, views, polling. The state lives here; the views draw what they are given.
 * What things mean is in logic.js, requests are in api.js, what a row's buttons do is in vm-actions.js.
 */

import { createApi } from './api.js';
import { showCreated } from './dialogs.js';
import { announce, setAttribute, setText, show } from './dom.js';
import { instant, plain } from './format.js';
import { clockOffset, mergeVms, newsBetween, pageTitle, parseHash, pollDelay, retryAfter, troubleText } from './logic.js';
import { forgetSession, loadSession, saveSession, tellOtherTabs, watchForgotten, watchOtherTabs } from './session.js';
import { mountSignIn } from './sign-in.js';
import { AFTERGLOW_MS, vmActions } from './vm-actions.js';
import { mountVmList } from './vm-list.js';

const TICK_MS = 1000;
/** Prices change rarely, but a form that was open since yesterday should not promise yesterday's. */
const OPTIONS_FRESH_MS = 10 * 60_000;
/** A VM that boots at this age boots for the first time. */
const NEW_SECS = 600;
const SIMULATION = 'This is a simulation: no server is rented and nothing costs money.';

const byId = (id) => document.getElementById(id);
const viewTitles = { 'sign-in': 'Sign in', list: 'Workspaces', new: 'New workspace', snapshots: 'Snapshots', costs: 'Costs', leftovers: 'Leftovers' };
const views = Object.fromEntries(Object.keys(viewTitles).map((name) => [name, byId(`view-${name}`)]));

/** Views that are fetched when somebody first goes there (or has time to spare), not before the first view. */
const MODULES = {
  new: () => both(import('./create-form.js'), 'create-form'),
  snapshots: () => both(import('./snapshots-view.js'), 'kept'),
  costs: () => both(import('./costs-view.js'), 'costs'),
  leftovers: () => both(import('./leftovers-view.js'), 'kept'),
};
const loading = new Map();
/** @type {Map<string, Promise<void>>} */
const sheets = new Map();

/** A view and its sheet, which is there before the view is. @param {Promise<any>} module @param {string} name */
async function both(module, name) {
  if (!sheets.has(name)) sheets.set(name, sheet(`styles/${name}.css`));
  // Tried again with the next visit, should it be away now.
  sheets.get(name).catch(() => sheets.delete(name));
  return (await Promise.all([module, sheets.get(name)]))[0];
}

/** @param {string} href @returns {Promise<void>} */
function sheet(href) {
  return new Promise((done, failed) => {
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
    link.addEventListener('load', () => done());
    link.addEventListener('error', () => {
      link.remove();
      failed(new Error(href));
    });
    document.head.append(link);
  });
}

/** name → {enter(about), leave?(), takeOptions?(options), setTrouble?(trouble), draw?(model), polled?(), reset()} */
const mounted = new Map();

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
    vms: [], totals: null, errors: [], problem: null, failures: 0, troubled: 0, loaded: false, updatedAt: null, offset: 0, asking: false,
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

/** What the views and the actions may ask of the page. */
const page = {
  session: () => session, api: () => api, state: () => state, options: () => options, titles: () => providerTitles(), draw: () => draw(), poll: () => poll(), rejected: () => rejected(),
  onCreated: (created) => onCreated(created),
};

const list = mountVmList(views.list, {
  ...vmActions(page),
  retry: () => poll(),
  startFrom(repo) {
    window.location.hash = repo ? `new?repo=${encodeURIComponent(repo)}` : 'new';
  },
});

function load(name) {
  if (!loading.has(name)) {
    const mount = (module) => {
      mounted.set(name, module.mount(views[name], page));
      if (options) mounted.get(name).takeOptions?.(options);
      return mounted.get(name);
    };
    const away = () => {
      loading.delete(name);
      return null;
    };
    loading.set(name, MODULES[name]().then(mount, away));
  }
  return loading.get(name);
}

/** @param {import('./session.js').Session} newSession */
function start(newSession) {
  session = newSession;
  api = createApi(session.apiUrl, session.token, { access: session.access });
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
  for (const it of mounted.values()) it.reset();
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
  if (changed) mounted.get(currentView)?.leave?.();
  currentView = view;
  for (const [name, element] of Object.entries(views)) show(element, name === view);
  for (const tab of byId('tabs').children) setAttribute(tab, 'aria-current', tab.dataset.view === (view === 'new' ? 'list' : view) ? 'page' : null);
  draw();
  if (changed) {
    window.scrollTo(0, 0);
    if (view !== 'sign-in') views[view].querySelector('h1').focus({ preventScroll: true });
  }
}

/** Shows what the address asks for. Nothing is ever created by an address alone. */
function route() {
  if (!session) return;
  const { view, ...about } = parseHash(window.location.hash);
  enter(view);
  if (view !== 'list') fill(view, about);
  if (Date.now() - optionsAt > OPTIONS_FRESH_MS) askOptions();
  if (!state.loaded || view === 'list') poll();
  else schedule();
}

async function fill(view, about) {
  const loaded = await load(view);
  if (!session || currentView !== view) return;
  if (loaded) {
    loaded.enter(about);
    return void draw();
  }
  // The network was away for a moment: the list stays usable and says so.
  history.replaceState(null, '', '#');
  enter('list');
  announce(`${viewTitles[view]} could not be loaded. Try again.`);
}

async function askOptions() {
  const asked = session;
  const answer = await api.options();
  if (asked !== session) return;
  if (answer.ok) takeOptions(answer.data);
  else if (answer.problem.status === 401) rejected();
  else for (const it of mounted.values()) it.setTrouble?.(troubleText(answer.problem, session.apiUrl));
}

function takeOptions(fresh) {
  options = fresh;
  optionsAt = Date.now();
  for (const it of mounted.values()) it.takeOptions?.(fresh);
  globalThis.requestIdleCallback?.(() => load('new'));
  showSimulation(fresh.simulation ? fresh.simulation.detail || SIMULATION : null);
  setText(byId('deployment'), plain(fresh.deployment));
  setText(byId('owner'), `${plain(fresh.owner)}${fresh.admin === true ? ' (admin)' : ''}`);
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
  if (answer.ok) mounted.get(currentView)?.polled?.();
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
  const errors = listing.errors ?? [];
  const troubled = errors.length > 0 ? state.troubled + 1 : 0;
  Object.assign(state, { vms: merged, totals: listing.totals, errors, problem: null, failures: 0, troubled, loaded: true, updatedAt: receivedAt });
}

/** Since when each VM is in its phase, as far as this page has seen it begin, and how long it has seen earlier ones take. */
function rememberPhases(vms, now) {
  const known = state.since;
  state.since = new Map(
    vms.map((vm) => {
      const before = known.get(vm.id);
      if (before?.phase === vm.phase) return [vm.id, before];
      const began = before ? (before.at ?? (before.phase === 'booting' && before.first ? instant(vm.created_at) : null)) : null;
      const took = { ...before?.took, ...(began !== null && { [before.phase]: Math.max(0, Math.round((now - began) / 1000)) }) };
      return [vm.id, { phase: vm.phase, at: before ? now : null, took, first: !before && vm.age_seconds < NEW_SECS }];
    }),
  );
}

function schedule() {
  clearTimeout(pollTimer);
  if (!session || document.hidden || state.asking) return;
  const { vms, failures, troubled, problem, errors } = state;
  const delay = pollDelay({ vms, failures, troubled, retryAfterSeconds: problem ? (problem.retry_after_seconds ?? null) : retryAfter(errors), random: Math.random() });
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
  const model = {
    ...state,
    trouble,
    now: now + state.offset,
    updatedAt: state.updatedAt === null ? null : state.updatedAt + state.offset,
    titles: providerTitles(),
    owner: options?.owner ?? '',
    isAdmin: options?.admin === true,
  };
  list.update(model);
  mounted.get(currentView)?.draw?.(model);
}

/** @returns {Map<string, string>} */
function providerTitles() {
  return new Map((options?.providers ?? []).map((one) => [one.name, plain(one.title)]));
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
  tellOtherTabs();
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
watchOtherTabs(() => session && !document.hidden && poll());
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

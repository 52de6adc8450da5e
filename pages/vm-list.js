/**
 * The list view: notices, money, one row per workspace, and what to see when there is none. Draws the state
 * it is given; asking the API and keeping the state is app.js's business.
 */

import { usualSeconds } from './boot-logic.js';
import { drawNotices, parts, reconcile, setAttribute, setChoices, setText, show } from './dom.js';
import { counted, duration, plain } from './format.js';
import { providerTitle, totalsText } from './logic.js';
import { createRow, updateRow } from './vm-row.js';

/**
 * @typedef {{vms: import('./logic.js').Vm[], totals: import('./logic.js').Totals|null, errors: import('./logic.js').ProviderError[],
 *   trouble: {title: string, detail: string, retryInSeconds: number|null}|null, loaded: boolean, now: number, updatedAt: number|null,
 *   asking: boolean, pending: Map<string, import('./vm-actions.js').Doing>, rowErrors: Map<string, string>, rowNews: Map<string, string>, blocked: Map<string, string>,
 *   since: Map<string, {phase: string, at: number|null, took: Record<string, number>}>, titles: Map<string, string>, owner: string, isAdmin: boolean}} ListState
 */

/**
 * @param {HTMLElement} view
 * @param {import('./vm-row.js').RowActions & {retry: () => void, startFrom: (repo: string) => void}} actions
 */
export function mountVmList(view, actions) {
  const el = parts(view);
  const quickRepo = view.querySelector('#quick-repo');

  el.quick.addEventListener('submit', (event) => {
    event.preventDefault();
    actions.startFrom(quickRepo.value.trim());
    quickRepo.value = '';
  });

  const whose = view.querySelector('#whose');
  let last = null;
  whose.addEventListener('change', () => {
    whose.dataset.touched = 'true';
    if (last) update(last);
  });

  /** What an admin wants to see of everybody's. @param {ListState} all @returns {ListState} */
  const chosen = (all) => {
    const owners = [...new Set(all.vms.map((vm) => vm.owner))].sort((one, other) => one.localeCompare(other, 'en'));
    const isChoice = all.isAdmin && owners.some((owner) => owner !== all.owner);
    show(el.owners, isChoice);
    if (!isChoice) return all;
    setChoices(whose, [{ value: '', label: `everybody’s (${all.vms.length})` }, ...owners.map((value) => ({ value, label: plain(value) }))], '');
    if (!whose.value) return all;
    const vms = all.vms.filter((vm) => vm.owner === whose.value);
    // The API's sums are of everybody's: without them each VM's own costs are added up.
    return { ...all, vms, totals: all.totals && { ...all.totals, currency: null } };
  };

  /** @param {ListState} all */
  const update = (all) => {
    last = all;
    const state = chosen(all);
    const empty = state.loaded && state.vms.length === 0;
    const someFail = state.errors.length > 0;
    view.setAttribute('aria-busy', String(!state.loaded));
    updateLive(el, state);
    updateNotices(el.notices, state, actions.retry);
    show(el.skeleton, !state.loaded && !state.trouble);
    show(el.empty, empty && !state.trouble && !someFail);
    show(el.money, state.vms.length > 0 && state.totals !== null);
    if (state.totals) {
      const totals = totalsText(state.vms.filter((vm) => !vm.stale), state.totals);
      setText(el.hour, totals.hour);
      setText(el.soFar, totals.soFar);
      setText(el.expiry, totals.expiry);
      const failing = state.errors.map((error) => providerTitle(state.titles, error.provider)).join(', ');
      const notes = [someFail ? `Without ${failing}, which does not answer.` : '', totals.note && `${totals.note}.`].filter(Boolean);
      setText(el.moneyNote, notes.join(' '));
      show(el.moneyNote, notes.length > 0 && state.vms.length > 0);
    }
    updateRows(el, state, actions);
  };
  return { update };
}

/** @param {ListState} state */
function updateRows(el, state, actions) {
  const inside = document.activeElement?.closest?.('.vm');
  const index = inside ? [...el.vms.children].indexOf(inside) : -1;
  const usual = usualSeconds(state.vms);
  const several = state.vms.some((vm) => vm.owner !== state.owner);
  reconcile(el.vms, state.vms, (vm) => vm.id, () => createRow(actions), (row, vm) => {
    updateRow(row, {
      vm,
      now: state.now,
      since: state.since.get(vm.id)?.at ?? null,
      took: state.since.get(vm.id)?.took ?? {},
      usual,
      pending: state.pending.get(vm.id) ?? null,
      error: state.rowErrors.get(vm.id) ?? null,
      news: state.rowNews.get(vm.id) ?? null,
      blockedUrl: state.blocked.has(vm.id),
      provider: providerTitle(state.titles, vm.provider),
      ownerShown: several,
    });
  });
  show(el.vms, state.vms.length > 0);
  // The row that had the focus is gone: the next one takes it, so that the keyboard is not thrown to the top.
  if (inside && !inside.isConnected && !document.querySelector('dialog[open]')) {
    const next = el.vms.children[Math.min(index, el.vms.children.length - 1)];
    (next ? next.rowParts.name : el.title).focus();
  }
}

/** @param {ListState} state */
function updateLive(el, { trouble, updatedAt, now, asking, vms, loaded }) {
  const tone = trouble ? 'bad' : 'good';
  setAttribute(el.liveDot, 'data-tone', loaded || trouble ? tone : 'quiet');
  el.liveDot.classList.toggle('-asking', asking);
  const age = updatedAt === null ? null : Math.floor((now - updatedAt) / 1000);
  const seen = age === null ? (trouble ? 'No answer yet' : 'Loading…') : age < 5 ? 'Updated just now' : `Updated ${duration(age)} ago`;
  const count = loaded && vms.length > 0 ? counted(vms.length, 'workspace') : '';
  // The countdown stands here and not in the notice, which a screen reader would read out every second.
  const wait = trouble?.retryInSeconds ? `next try in ${duration(trouble.retryInSeconds)}` : '';
  setText(el.liveText, [count, seen, wait].filter(Boolean).join(' · '));
}

/** @param {ListState} state */
function updateNotices(parent, { trouble, errors, titles }, retry) {
  const notices = errors.map((error) => ({
    key: `provider-${error.provider}`,
    tone: '-warn',
    title: `${providerTitle(titles, error.provider)} is in trouble`,
    detail: plain(error.detail),
  }));
  if (trouble) {
    notices.unshift({ key: 'api', tone: '-bad', title: trouble.title, detail: trouble.detail });
  }
  drawNotices(parent, notices, retry);
}

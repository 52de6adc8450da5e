/**
 * What the buttons of a row do. The row answers at once, the truth follows, and what fails rolls back with its reason.
 * Which buttons there are is vm-row.js's business, requests are api.js's, the state is app.js's.
 */

import { askDelete, askSnapshot } from './dialogs.js';
import { announce } from './dom.js';
import { leadingTo, plain } from './format.js';
import { troubleText } from './logic.js';
import { tellOtherTabs } from './session.js';

/** Providers' lists lag behind what they have just been told. */
export const AFTERGLOW_MS = 60_000;
/** How long a row shows what an action said, and what its button adds. */
const NEWS_MS = 20_000;
const EXTEND_MINUTES = 60;

/**
 * @typedef {import('./logic.js').Vm} Vm
 * @typedef {'deleting'|'opening'|'stopping'|'starting'|'extending'|'snapshotting'} Doing
 * @typedef {{session: () => object|null, api: () => any, state: () => any, draw: () => void, poll: () => void, rejected: () => void}} Page
 */

/** Why something failed, in a sentence. @param {import('./api.js').Problem} problem */
export function reasonOf(problem) {
  const { title, detail } = troubleText(problem, '');
  return problem.status === 0 ? title : detail || title;
}

/** @param {Page} page @returns {import('./vm-row.js').RowActions} */
export function vmActions({ session, api, state, draw, poll, rejected }) {
  const failed = (vm, text) => {
    state().rowErrors.set(vm.id, text);
    draw();
    poll();
  };

  const begin = (vm, doing) => {
    state().pending.set(vm.id, doing);
    state().rowErrors.delete(vm.id);
    state().rowNews.delete(vm.id);
    draw();
  };

  /**
   * The row says at once what was asked for, then what the API makes of it.
   * @param {Vm} vm @param {Doing} doing @param {string} otherwise @param {() => Promise<import('./api.js').Answer>} call
   */
  const act = async (vm, doing, otherwise, call) => {
    if (state().pending.has(vm.id)) return;
    const asked = session();
    begin(vm, doing);
    const answer = await call();
    if (asked !== session()) return;
    const now = state();
    now.pending.delete(vm.id);
    if (!answer.ok) return void (answer.problem.status === 401 ? rejected() : failed(vm, `${otherwise}: ${reasonOf(answer.problem)}`));
    now.vms = now.vms.map((one) => (one.id === vm.id ? answer.data.vm : one));
    now.rowNews.set(vm.id, plain(answer.data.detail));
    setTimeout(() => now.rowNews.delete(vm.id), NEWS_MS);
    announce(`${plain(vm.name)}: ${plain(answer.data.detail)}`);
    draw();
    poll();
    tellOtherTabs();
  };

  const remove = async (vm) => {
    if (!(await askDelete(vm, Date.now() + state().offset)) || !session()) return;
    const asked = session();
    begin(vm, 'deleting');
    announce(`Deleting ${plain(vm.name)}.`);
    const answer = await api().remove(vm.id);
    if (asked !== session()) return;
    const now = state();
    now.pending.delete(vm.id);
    if (answer.ok || answer.problem.status === 404) {
      now.gone.set(vm.id, Date.now() + AFTERGLOW_MS);
      now.fresh.delete(vm.id);
      now.vms = now.vms.filter((one) => one.id !== vm.id);
      announce(`${plain(vm.name)} is deleted.`);
      draw();
      poll();
      tellOtherTabs();
    } else if (answer.problem.status === 401) rejected();
    else failed(vm, `Not deleted: ${reasonOf(answer.problem)}`);
  };

  /**
   * Opens the workspace in a tab of its own. The tab is made within the click, since browsers block those that
   * come later; it is cut off from this page before it goes anywhere.
   * @param {Vm} vm @param {string} [target] another address of the VM than its web UI
   */
  const open = async (vm, target) => {
    const { blocked, pending } = state();
    const kept = blocked.get(vm.id);
    if (kept) {
      blocked.delete(vm.id);
      window.open(kept, '_blank', 'noopener,noreferrer');
      draw();
      return;
    }
    if (pending.has(vm.id)) return;
    const asked = session();
    const tab = window.open('about:blank', '_blank');
    if (tab) {
      tab.opener = null;
      tab.document.title = `Opening ${plain(vm.name)}…`;
    }
    begin(vm, 'opening');
    const answer = await api().open(vm.id);
    if (asked !== session()) return void tab?.close();
    pending.delete(vm.id);
    const url = answer.ok ? leadingTo(answer.data.url, target) : null;
    if (url === null) {
      tab?.close();
      if (!answer.ok && answer.problem.status === 401) return void rejected();
      failed(vm, `Not opened: ${answer.ok ? 'the API gave no usable address.' : reasonOf(answer.problem)}`);
      return;
    }
    if (tab && !tab.closed) tab.location.replace(url);
    else {
      // One more click does it; the link is good for a minute.
      blocked.set(vm.id, url);
      setTimeout(() => blocked.delete(vm.id), (answer.data.expires_in_seconds ?? 60) * 1000);
      announce('The browser blocked the new tab. Press Open now.');
    }
    draw();
  };

  const snapshot = async (vm) => {
    const description = await askSnapshot(vm);
    if (description === null || !session()) return;
    act(vm, 'snapshotting', 'No snapshot', () => api().snapshot(vm.id, description));
  };

  const log = async (vm, source) => {
    const asked = session();
    const answer = await api().log(vm.id, source);
    if (asked !== session()) return null;
    if (!answer.ok && answer.problem.status === 401) rejected();
    return answer;
  };

  return {
    remove,
    log,
    snapshot,
    open: (vm) => open(vm),
    terminal: (vm) => open(vm, vm.urls?.terminal),
    status: (vm) => open(vm, vm.urls?.status),
    stop: (vm) => act(vm, 'stopping', 'Not stopped', () => api().stop(vm.id)),
    start: (vm) => act(vm, 'starting', 'Not started', () => api().start(vm.id)),
    extend: (vm) => act(vm, 'extending', 'Not extended', () => api().extend(vm.id, EXTEND_MINUTES)),
  };
}

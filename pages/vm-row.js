/**
 * One workspace of the list: a card with its state, boot, money, deadlines and actions. `updateRow` is
 * complete and idempotent. What the figures mean is in logic.js; what the buttons do is app.js's business.
 */

import { bootProgress, bootText, bootTime, isBooting, phaseTitle, stepShare, stepTime, timeline } from './boot-logic.js';
import { clone, copyWithFeedback, mountMenu, parts, reconcile, setAttribute, setLink, setText, show } from './dom.js';
import { clockTime, duration, instant, plain, safeUrl } from './format.js';
import { mountLog } from './log-view.js';
import { actionsOf, costText, expiryText, failure, idleText, isSpot, stateOf, timeLeft, verdictLines, verdictSummary } from './logic.js';

/**
 * @typedef {import('./logic.js').Vm} Vm
 * @typedef {{vm: Vm, now: number, since: number|null, took: Record<string, number>, usual: Record<string, number>,
 *   pending: import('./vm-actions.js').Doing|null, error: string|null, news: string|null, blockedUrl: boolean, provider: string, ownerShown: boolean}} RowModel
 * @typedef {Record<typeof ACTIONS[number], (vm: Vm) => void> & {log: (vm: Vm, source: string) => Promise<import('./api.js').Answer|null>}} RowActions
 */

const ACTIONS = ['open', 'terminal', 'status', 'start', 'extend', 'stop', 'snapshot', 'remove'];
let rows = 0;

/** @param {RowActions} actions @returns {HTMLElement} */
export function createRow(actions) {
  const row = clone('vm-template');
  const el = parts(row);
  rows += 1;
  el.name.id = `vm-${rows}`;
  row.setAttribute('aria-labelledby', el.name.id);
  for (const action of [...ACTIONS.filter((name) => name !== 'remove').map((name) => el[name]), el.ssh, el.why.firstElementChild, el.details.firstElementChild, el.logTitle]) {
    action.setAttribute('aria-describedby', el.name.id);
  }
  row.rowParts = el;
  for (const name of ACTIONS) el[name].addEventListener('click', () => actions[name](row.vm));
  mountMenu(el.menu);
  row.refreshLog = mountLog(row, el, actions.log);
  el.details.addEventListener('toggle', () => updateDetails(el.detailList, row.vm, row.now));
  el.ssh.addEventListener('click', () => copyWithFeedback(el.sshText, row.vm.ssh.command, 'SSH command'));
  return row;
}

/** @param {any} row @param {RowModel} model */
export function updateRow(row, model) {
  const { vm, now, pending } = model;
  const el = row.rowParts;
  const hadFocus = row.contains(document.activeElement);
  row.vm = vm;
  row.now = now;
  row.classList.toggle('-stale', Boolean(vm.stale));
  row.classList.toggle('-leaving', pending === 'deleting');
  setAttribute(row, 'aria-busy', pending ? 'true' : null);
  updateTitle(el, model);
  updateActions(el, model);
  updateTrouble(el, model);
  updateBoot(el, model);
  if (!el.boot.hidden) row.refreshLog();
  setText(el.cost, costText(vm).value);
  setText(el.costHint, costText(vm).hint);
  const left = timeLeft(vm, now);
  setDeadline(el.idle, el.idleHint, idleText(vm, now), el.idleMeter, left.idle);
  setDeadline(el.expiry, el.expiryHint, expiryText(vm, now), el.expiryMeter, left.expiry);
  setText(el.machine, [model.provider, plain(vm.server_type)].filter(Boolean).join(' · '));
  const created = instant(vm.created_at);
  const age = created === null ? '' : `${duration((now - created) / 1000)} old`;
  setText(el.machineHint, [plain(vm.location), age, model.ownerShown ? plain(vm.owner) : ''].filter(Boolean).join(' · '));
  updateWhy(el, vm, now);
  if (el.details.open) updateDetails(el.detailList, vm, now);
  // A button that just disappeared hands its focus to the row it belonged to.
  if (hadFocus && (!row.contains(document.activeElement) || document.activeElement.closest('[hidden]'))) el.name.focus({ preventScroll: true });
}

/** @param {RowModel} model */
function updateTitle(el, { vm, pending }) {
  const doing = { deleting: 'Deleting', stopping: 'Stopping', starting: 'Starting', snapshotting: 'Taking a snapshot' }[pending ?? ''];
  const state = doing ? { label: doing, tone: 'quiet' } : stateOf(vm);
  setText(el.nameText, plain(vm.name));
  setText(el.stateText, state.label);
  setAttribute(el.state, 'data-tone', state.tone);
  show(el.attention, Boolean(vm.attention) && !pending);
  setText(el.attentionText, vm.attention === 'waiting' ? 'Waits for your answer' : 'Agent is done');
  setAttribute(el.attention, 'data-tone', vm.attention === 'waiting' ? 'warn' : 'good');
  show(el.spot, isSpot(vm));
  const url = safeUrl(vm.repo_url);
  setLink(el.repo, url);
  setText(el.repoText, plain(vm.repo_url).replace(/^https:\/\/|\.git$/g, '') || `Profile ${plain(vm.profile)}`);
  show(el.branch, Boolean(vm.branch));
  setText(el.branchText, plain(vm.branch));
}

/** @param {RowModel} model */
function updateActions(el, { vm, pending, blockedUrl }) {
  const stays = pending !== 'deleting';
  const up = stays && vm.state === 'running' && vm.phase === 'ready';
  const terminal = safeUrl(vm.urls?.terminal);
  const status = safeUrl(vm.urls?.status);
  show(el.open, up);
  setText(el.openText, blockedUrl ? 'Open now' : pending === 'opening' ? 'Opening…' : 'Open');
  setAttribute(el.open, 'aria-busy', pending === 'opening' ? 'true' : null);
  show(el.terminal, up && terminal !== null);
  // The VM's own door keeps the log: until the workspace is up it is the first thing to look at, later the last.
  const hasLog = stays && vm.state === 'running' && status !== null && vm.phase !== 'booting';
  show(el.status, hasLog);
  const inMenu = el.status.parentElement === el.menuItems;
  if (up && !inMenu) el.menuItems.append(el.status);
  if (!up && inMenu) el.terminal.before(el.status);
  el.status.className = up ? 'menu-item' : 'button';
  show(el.ssh, stays && Boolean(vm.ssh?.command) && vm.state === 'running');
  show(el.remove, pending !== 'deleting' && vm.state !== 'deleting');
  const free = pending === null && !vm.stale;
  const can = actionsOf(vm);
  show(el.start, free && can.start);
  show(el.stop, free && can.stop);
  show(el.extend, free && can.extend);
  show(el.snapshot, free && can.snapshot);
  setAttribute(el.more, 'aria-label', `More for ${plain(vm.name)}`);
  show(el.menu, [...el.menuItems.children].some((item) => !item.hidden));
  setAttribute(el.remove, 'aria-label', `Delete ${plain(vm.name)}`);
  setAttribute(el.remove, 'title', 'Delete');
}

/** @param {RowModel} model */
function updateTrouble(el, { vm, error, news, pending, provider }) {
  show(el.news, Boolean(news));
  setText(el.newsText, news ?? '');
  show(el.error, Boolean(error));
  setText(el.errorText, error ?? '');
  const trouble = pending === 'deleting' ? null : failure(vm);
  show(el.failure, trouble !== null);
  setText(el.failureTitle, trouble?.title ?? '');
  setText(el.failureDetail, trouble?.detail ?? '');
  el.failure.classList.toggle('-warn', trouble !== null && !trouble.fatal);
  el.failure.classList.toggle('-bad', trouble === null || trouble.fatal);
  show(el.stale, Boolean(vm.stale));
  setText(el.staleText, `${provider} does not answer now: this is how it was last seen. It may still cost money.`);
}

/** @param {RowModel} model */
function updateBoot(el, { vm, now, usual, since, took, pending }) {
  const shown = (isBooting(vm) || (vm.phase === 'failed' && vm.state === 'running')) && pending !== 'deleting';
  show(el.boot, shown);
  if (!shown) return;
  const steps = timeline(vm, now, usual, since, took);
  const { share, secondsLeft, late } = bootProgress(steps);
  const failed = vm.phase === 'failed';
  const title = bootText(vm);
  const left = failed ? '' : late || secondsLeft === 0 ? 'longer than usual' : `usually ${duration(secondsLeft)} more`;
  const percent = Math.round(share * 100);
  setText(el.bootText, title);
  setText(el.bootLeft, left);
  setAttribute(el.progress, 'aria-label', `Boot of ${plain(vm.name)}`);
  setAttribute(el.progress, 'aria-valuenow', String(percent));
  setAttribute(el.progress, 'aria-valuetext', [title, `${percent}%`, left].filter(Boolean).join(', '));
  reconcile(el.steps, steps, (step) => step.phase, () => clone('step-template'), updateStep);
}

/** @param {HTMLElement} item @param {import('./boot-logic.js').Step} step */
function updateStep(item, step) {
  const el = parts(item);
  setAttribute(item, 'data-state', step.state);
  setAttribute(item, 'aria-current', step.state === 'active' ? 'step' : null);
  setText(el.title, step.title);
  setText(el.said, { done: 'done', active: 'running', waiting: 'not yet', failed: 'failed' }[step.state]);
  setText(el.time, stepTime(step));
  // Steps are as wide as they usually take, but never too narrow for their words.
  item.style.setProperty('--usual', String(Math.max(12, Math.min(60, step.usual))));
  item.style.setProperty('--share', String(stepShare(step)));
}

function setDeadline(value, hint, text, meter, share) {
  setText(value, text.value);
  setText(hint, text.hint);
  setAttribute(value, 'data-tone', text.tone);
  show(meter, share !== null);
  setAttribute(meter, 'data-tone', text.tone);
  meter.style.setProperty('--share', (share ?? 0).toFixed(3));
}

/** @param {Vm} vm */
function updateWhy(el, vm, now) {
  const lines = verdictLines(vm);
  show(el.why, Boolean(vm.idle) && vm.state === 'running');
  setText(el.whyTitle, lines.length > 0 && !lines[0].alive ? 'Why is it idle?' : 'Why is it not idle?');
  setText(el.whySummary, verdictSummary(vm, now));
  reconcile(el.signals, lines, (line) => line.title, () => clone('pair-template'), (pair, line) => {
    setText(pair.firstElementChild, line.title);
    setText(pair.lastElementChild.firstElementChild, line.age);
    setAttribute(pair, 'data-alive', line.alive ? 'true' : null);
  });
}

/** @param {HTMLElement} list @param {Vm} vm @param {number} now */
function updateDetails(list, vm, now) {
  const boot = bootTime(vm);
  const phases = (vm.boot?.phases ?? []).map((time) => `${phaseTitle(time.phase)} ${duration(time.seconds)}`).join(', ');
  const seen = instant(vm.last_seen_at);
  const pairs = [
    ['Id', vm.id],
    ['Owner', vm.owner],
    ['Size', vm.size],
    ['Market', isSpot(vm) ? 'Spot: it may be taken back, and cannot be stopped' : null],
    ['Web UI', vm.web_ui],
    ['Created', clockTime(instant(vm.created_at), now)],
    ['Last report', seen === null ? 'none yet' : `${duration((now - seen) / 1000)} ago`],
    ['Boot', boot === null || isBooting(vm) ? null : `${duration(boot)}: ${phases}`],
    ['IPv4', vm.ipv4],
    ['IPv6', vm.ipv6],
    ['SSH', vm.ssh?.command],
    ['SSH host key', vm.ssh?.host_key],
    // Browsers show the same figure before somebody trusts it.
    ['Certificate’s SHA-256', vm.tls?.state === 'self_signed' ? vm.tls.sha256 : null],
  ].filter(([, value]) => value);
  reconcile(list, pairs, ([title]) => title, () => clone('pair-template'), (pair, [title, value]) => {
    setText(pair.firstElementChild, title);
    setText(pair.lastElementChild.firstElementChild, plain(value));
  });
}

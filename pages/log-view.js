/**
 * The end of the log in the row of a workspace that boots, or whose boot has failed: asked for while it is open, and only then.
 * Where nothing keeps logs the VM's own status page is named.
 */

import { setText, show } from './dom.js';
import { plain } from './format.js';

/** The VM sends something new at most that often. */
const INTERVAL_MS = 5000;
/** What terminals take for colours and movements of the cursor (ECMA-48, 5.4). */
const COLOURS = /\u001b\[[0-?]*[ -/]*[@-~]/g;

/** Which log tells most now. @param {import('./logic.js').Vm} vm @returns {'boot'|'build'} */
export function logSource(vm) {
  const phase = vm.phase === 'failed' ? vm.boot?.reason?.phase : vm.phase;
  return phase === 'devcontainer' ? 'build' : 'boot';
}

/** What stands there for an answer. @param {import('./api.js').Answer} answer @returns {{tail: string, note: string}} */
export function logText(answer) {
  if (answer.ok) return { tail: String(answer.data.tail ?? '').replace(COLOURS, '').split(/\r*\n/).map(plain).join('\n').trimEnd(), note: '' };
  const notes = {
    log_not_kept: 'Nothing keeps logs here. “Log and status” shows the one on the VM, as soon as its door is open.',
    log_not_found: 'The VM has not sent anything yet.',
  };
  return { tail: '', note: notes[answer.problem.code] ?? `No log: ${plain(answer.problem.detail)}` };
}

/**
 * @param {any} row its `vm` is always the newest @param {{log: HTMLDetailsElement, logText: HTMLElement, logNote: HTMLElement}} el
 * @param {(vm: import('./logic.js').Vm, source: string) => Promise<import('./api.js').Answer|null>} ask null where the answer matters no more
 * @returns {() => void} to be called whenever the row is drawn
 */
export function mountLog(row, el, ask) {
  let asking = false;
  let askedAt = -Infinity;

  const draw = (answer) => {
    const { tail, note } = logText(answer);
    // Who has scrolled up reads; who is at the end wants to stay there.
    const follows = el.logText.scrollHeight - el.logText.scrollTop - el.logText.clientHeight < 8;
    // What was seen stays when an answer fails.
    if (tail || answer.ok) setText(el.logText, tail);
    show(el.logText, el.logText.textContent !== '');
    setText(el.logNote, note);
    show(el.logNote, note !== '');
    if (follows) el.logText.scrollTop = el.logText.scrollHeight;
  };

  const refresh = async () => {
    if (!el.log.open || asking || performance.now() - askedAt < INTERVAL_MS) return;
    asking = true;
    askedAt = performance.now();
    const { vm } = row;
    let answer = await ask(vm, logSource(vm));
    if (answer && !answer.ok && answer.problem.code === 'log_not_found' && logSource(vm) === 'build') answer = await ask(vm, 'boot');
    asking = false;
    if (answer && row.vm.id === vm.id) draw(answer);
  };

  el.log.addEventListener('toggle', () => {
    askedAt = -Infinity;
    refresh();
  });
  return refresh;
}

/**
 * What stops everything else for a moment: is this to be deleted, is a snapshot to be taken, and here is the password.
 * What is lost is told by logic.js; doing it is the caller's business.
 */

import { copyWithFeedback, parts, setLines, setText, show } from './dom.js';
import { plain } from './format.js';
import { attemptLines, costNote, deleteLosses } from './logic.js';

/** Opens a dialog whose harmless answer is the default; resolves to the answer. @returns {Promise<string>} */
function ask(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = 'cancel';
    dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

/**
 * Asks once whether something goes for good.
 * @param {{title: string, name: string, losses: string[], note: string, keep: string, go: string}} about @returns {Promise<boolean>}
 */
export async function askLoss({ title, name, losses, note, keep, go }) {
  const dialog = document.getElementById('delete-dialog');
  const el = parts(dialog);
  setText(el.title, title);
  setText(el.name, name);
  setLines(el.losses, losses);
  setText(el.note, note);
  setText(el.keep, keep);
  setText(el.go, go);
  return (await ask(dialog)) === 'delete';
}

/** @param {import('./logic.js').Vm} vm @param {number} now @returns {Promise<boolean>} */
export function askDelete(vm, now) {
  return askLoss({ title: 'Delete', name: plain(vm.name), losses: deleteLosses(vm, now), note: costNote(vm), keep: 'Keep it', go: 'Delete workspace' });
}

/** @param {import('./logic.js').Vm} vm @returns {Promise<string|null>} the description, or null for no snapshot */
export async function askSnapshot(vm) {
  const dialog = document.getElementById('snapshot-dialog');
  const el = parts(dialog);
  setText(el.name, plain(vm.name));
  setText(
    el.note,
    vm.state === 'stopped'
      ? 'The workspace is stopped: its disk is stored as it is, with the secrets that are on it. Start it first for one without them.'
      : 'The workspace writes everything to its disk and takes its secrets off it. Terminals stand still for a moment; then it goes on.',
  );
  const description = dialog.querySelector('#snapshot-description');
  description.value = '';
  return (await ask(dialog)) === 'take' ? description.value.trim() : null;
}

/**
 * Shows what `POST /vms` answered once and never again; nothing of it is left in the page afterwards.
 * @param {{vm: import('./logic.js').Vm, password?: string, attempts?: any[], warnings?: string[]}} created
 */
export function showCreated({ vm, password, attempts = [], warnings = [] }) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('created-dialog'));
  const el = parts(dialog);
  setText(el.name, plain(vm.name));
  setText(el.password, password ?? '');
  setLines(el.attemptList, attempts.length > 1 ? attemptLines(attempts) : []);
  show(el.attempts, attempts.length > 1);
  setLines(el.warningList, warnings.map(plain));
  show(el.warnings, warnings.length > 0);
  el.copy.onclick = () => copyWithFeedback(el.copyText, password ?? '', 'Password');
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        el.copy.onclick = null;
        setText(el.password, '');
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
    el.copy.focus();
  });
}

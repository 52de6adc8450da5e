/**
 * The two questions that stop everything else: is this to be deleted, and here is the password.
 * What is lost is told by logic.js; deleting is the caller's business.
 */

import { copyWithFeedback, parts, setLines, setText, show } from './dom.js';
import { plain } from './format.js';
import { attemptLines, costText, deleteLosses } from './logic.js';

/**
 * Asks once. @param {import('./logic.js').Vm} vm @param {number} now @returns {Promise<boolean>}
 */
export function askDelete(vm, now) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('delete-dialog'));
  const el = parts(dialog);
  setText(el.name, plain(vm.name));
  setLines(el.losses, deleteLosses(vm, now));
  setText(el.note, vm.cost ? `It has cost ${costText(vm).hint.split(',')[0]} and costs nothing more afterwards.` : 'It costs nothing more afterwards.');
  return new Promise((resolve) => {
    dialog.returnValue = 'cancel';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'delete'), { once: true });
    dialog.showModal();
  });
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

/**
 * The view of what should be gone: the orphan report with “clean up”, and the big red button. What its words mean is in
 * kept-logic.js; what may go is the API's decision.
 */

import { askLoss } from './dialogs.js';
import { announce, clone, drawNotices, parts, reconcile, setAttribute, setText, show } from './dom.js';
import { counted, plain } from './format.js';
import { everythingLosses, leftoverText, reapText } from './kept-logic.js';
import { troubleText } from './logic.js';
import { tellOtherTabs } from './session.js';
import { reasonOf } from './vm-actions.js';

/** @param {HTMLElement} view @param {import('./vm-actions.js').Page & {titles: () => Map<string, string>}} page */
export function mount(view, page) {
  const el = parts(view);
  let it = empty();

  function empty() {
    return { list: [], errors: [], notes: [], problem: null, loaded: false, asking: false, cleaning: false, deleting: false, said: null };
  }

  /** Runs a call whose answer still matters when it comes; false when it does not. @param {(answer: any) => void} take */
  const call = async (send, take) => {
    const mine = it;
    draw();
    const answer = await send();
    if (mine !== it) return false;
    if (!answer.ok && answer.problem.status === 401) {
      page.rejected();
      return false;
    }
    take(answer);
    draw();
    return true;
  };

  const look = async () => {
    if (it.asking) return;
    it.asking = true;
    await call(() => page.api().orphans(), (answer) => {
      it.asking = false;
      if (answer.ok) Object.assign(it, { list: answer.data.orphans ?? [], errors: answer.data.errors ?? [], notes: answer.data.notes ?? [], problem: null, loaded: true });
      else it.problem = answer.problem;
    });
  };

  const say = (tone, title, lines = []) => {
    it.said = { key: 'said', tone, title, detail: lines.join(' ') };
    announce([title, ...lines].join(' '));
  };

  const failures = (failed) => failed.map((one) => `${plain(one.name || one.id)}: ${plain(one.reason ?? one.detail)}`);

  const clean = async () => {
    if (it.cleaning) return;
    it.cleaning = true;
    it.said = null;
    const goes = await call(() => page.api().reap(), (answer) => {
      it.cleaning = false;
      if (answer.ok) say(answer.data.failed?.length ? '-warn' : '-good', reapText(answer.data), failures(answer.data.failed ?? []));
      else say('-bad', `Not cleaned up: ${reasonOf(answer.problem)}`);
    });
    if (!goes) return;
    view.querySelector('h1').focus();
    look();
    page.poll();
    tellOtherTabs();
  };

  /** An admin sees everybody's, and deletes their own. */
  const isMine = (one) => !one.owner || one.owner === (page.options()?.owner ?? one.owner);

  /** Twenty go with each call: it is repeated as long as that gets on. */
  const removeAll = async () => {
    if (it.deleting) return;
    it.deleting = true;
    it.said = null;
    draw();
    const mine = it;
    const known = await page.api().snapshots();
    if (mine !== it) return;
    it.deleting = false;
    draw();
    const losses = everythingLosses(page.state().vms.filter(isMine), known.ok && !known.data.errors?.length ? known.data.snapshots.filter(isMine) : null);
    if (losses.length === 0) {
      say('-good', 'There is nothing to delete.');
      return void draw();
    }
    const sure = await askLoss({ title: 'Delete', name: 'everything of yours', losses, note: 'There is no way back.', keep: 'Keep it all', go: 'Delete everything' });
    if (!sure || mine !== it) return;
    it.deleting = true;
    let sum = 0;
    let remaining = 1;
    while (remaining > 0) {
      const goes = await call(() => page.api().removeAll(), (answer) => {
        remaining = 0;
        if (!answer.ok) return say('-bad', `Not deleted: ${reasonOf(answer.problem)}`);
        const { deleted = [], failed = [] } = answer.data;
        sum += deleted.length;
        if (deleted.length > 0) remaining = answer.data.remaining ?? 0;
        if (failed.length > 0) say('-warn', `${counted(sum, 'thing')} deleted, not all.`, failures(failed));
        else if (remaining === 0) say('-good', `${counted(sum, 'thing')} deleted. Nothing of yours is left to pay for.`);
      });
      if (!goes) return;
      page.poll();
    }
    it.deleting = false;
    draw();
    look();
    tellOtherTabs();
  };

  function draw() {
    const { vms } = page.state();
    const titles = page.titles();
    const notices = it.errors.map((one, index) => ({ key: `e${index}`, tone: '-warn', ...lookTrouble(one, titles, vms) }));
    notices.push(...it.notes.map((note, index) => ({ key: `n${index}`, tone: '-warn', title: 'Worth knowing', detail: plain(note) })));
    if (it.said) notices.unshift(it.said);
    if (it.problem) notices.unshift({ key: 'problem', tone: '-bad', ...troubleText(it.problem, page.session()?.apiUrl ?? '') });
    drawNotices(el.notices, notices, look);
    const isBilled = it.list.some((one) => leftoverText(one, titles, vms).isBilled);
    setText(el.foundTitle, `${counted(it.list.length, 'thing')} left over${isBilled ? ', still billed' : ''}`);
    show(el.found, it.list.length > 0);
    show(el.skeleton, !it.loaded && !it.problem);
    show(el.empty, it.loaded && it.list.length === 0 && it.errors.length === 0);
    setText(el.againText, it.asking ? 'Looking…' : 'Look again');
    setText(el.cleanText, it.cleaning ? 'Cleaning up…' : 'Clean up');
    setText(el.allText, it.deleting ? 'Deleting…' : 'Delete everything');
    for (const [button, busy] of [[el.again, it.asking], [el.clean, it.cleaning], [el.all, it.deleting]]) setAttribute(button, 'aria-busy', busy ? 'true' : null);
    const mine = vms.filter(isMine).length;
    setText(el.dangerText, `All of your workspaces${mine > 0 ? ` (${mine} now)` : ''} and snapshots, at every provider, running or not.`);
    reconcile(el.list, it.list, (one) => `${one.provider} ${one.kind} ${one.id}`, () => clone('leftover-template'), (row, one) => {
      const text = leftoverText(one, titles, vms);
      const at = parts(row);
      for (const name of ['kind', 'name', 'about', 'price']) setText(at[name], text[name]);
      show(at.price, Boolean(text.price));
    });
  }

  const lookTrouble = (one, titles, vms) => {
    const text = leftoverText(one, titles, vms);
    return { title: one.kind === 'list' ? `Not everything could be looked at: ${text.name}` : `${text.kind} ${text.name} could not be deleted`, detail: text.about };
  };

  el.again.addEventListener('click', look);
  el.clean.addEventListener('click', clean);
  el.all.addEventListener('click', removeAll);

  return {
    enter: look,
    draw,
    reset() {
      it = empty();
      draw();
    },
  };
}

/**
 * The view of stored disks: what there is, what it costs, start from one, delete one. What its words mean is in
 * kept-logic.js; taking one is a row's business (vm-actions.js).
 */

import { askLoss } from './dialogs.js';
import { announce, clone, drawNotices, parts, reconcile, setAttribute, setText, show } from './dom.js';
import { plain } from './format.js';
import { snapshotLosses, snapshotText } from './kept-logic.js';
import { providerTitle, troubleText } from './logic.js';
import { reasonOf } from './vm-actions.js';

/** A list changes rarely; what is being stored is looked at with each poll. */
const FRESH_MS = 15_000;

/** @param {HTMLElement} view @param {import('./vm-actions.js').Page & {titles: () => Map<string, string>}} page */
export function mount(view, page) {
  const el = parts(view);
  let it = empty();
  let rows = 0;

  function empty() {
    return { list: [], errors: [], problem: null, loaded: false, askedAt: 0, asking: false, deleting: new Set(), gone: new Set(), failed: new Map(), now: Date.now() };
  }

  const ask = async () => {
    if (it.asking) return;
    const mine = it;
    mine.asking = true;
    mine.askedAt = Date.now();
    const answer = await page.api().snapshots();
    if (mine !== it) return;
    mine.asking = false;
    if (answer.ok) Object.assign(mine, { list: answer.data.snapshots ?? [], errors: answer.data.errors ?? [], problem: null, loaded: true });
    else if (answer.problem.status === 401) return void page.rejected();
    else mine.problem = answer.problem;
    draw();
  };

  const remove = async (snapshot) => {
    const { name } = snapshotText(snapshot, page.titles(), it.now);
    const sure = await askLoss({ title: 'Delete snapshot', name, losses: snapshotLosses(snapshot), note: 'It costs nothing more afterwards.', keep: 'Keep it', go: 'Delete snapshot' });
    if (!sure || !page.session()) return;
    const mine = it;
    mine.deleting.add(snapshot.id);
    mine.failed.delete(snapshot.id);
    draw();
    const answer = await page.api().removeSnapshot(snapshot.id);
    if (mine !== it) return;
    mine.deleting.delete(snapshot.id);
    if (answer.ok) {
      mine.gone.add(snapshot.id);
      announce(`Snapshot ${name} is deleted.`);
    } else if (answer.problem.status === 401) return void page.rejected();
    else mine.failed.set(snapshot.id, `Not deleted: ${reasonOf(answer.problem)}`);
    draw();
    ask();
  };

  const createRow = () => {
    const row = clone('snapshot-template');
    row.rowParts = parts(row);
    rows += 1;
    row.rowParts.title.id = `snapshot-${rows}`;
    row.setAttribute('aria-labelledby', row.rowParts.title.id);
    row.rowParts.start.setAttribute('aria-describedby', row.rowParts.title.id);
    row.rowParts.remove.addEventListener('click', () => remove(row.snapshot));
    return row;
  };

  const updateRow = (row, snapshot) => {
    const hadFocus = row.contains(document.activeElement);
    row.snapshot = snapshot;
    const at = row.rowParts;
    const text = snapshotText(snapshot, page.titles(), it.now, page.options()?.owner);
    const going = it.deleting.has(snapshot.id);
    for (const name of ['name', 'note', 'about', 'size', 'until']) setText(at[name], text[name]);
    setText(at.price, text.price || '–');
    setText(at.stateText, going ? 'Deleting' : text.state.label);
    setAttribute(at.state, 'data-tone', going ? 'quiet' : text.state.tone);
    setAttribute(row, 'aria-busy', going ? 'true' : null);
    show(at.note, Boolean(text.note));
    // Columns stay in line: all rows have a price's place, or none.
    show(at.priceBox, it.list.some((one) => one.monthly_price));
    show(at.start, snapshot.is_ready && !going);
    setAttribute(at.start, 'href', `#new?snapshot=${encodeURIComponent(snapshot.id)}`);
    show(at.remove, !going);
    setAttribute(at.remove, 'aria-label', `Delete ${text.name}`);
    setText(at.error, it.failed.get(snapshot.id) ?? '');
    show(at.error, it.failed.has(snapshot.id));
    // A button that just disappeared hands its focus to the row it belonged to.
    if (hadFocus && (!row.contains(document.activeElement) || document.activeElement.closest('[hidden]'))) at.title.focus({ preventScroll: true });
  };

  function draw() {
    const shown = it.list.filter((one) => !it.gone.has(one.id));
    const inside = document.activeElement?.closest?.('.sheet-row');
    const index = inside ? [...el.list.children].indexOf(inside) : -1;
    const titles = page.titles();
    const notices = it.errors.map((error) => ({ key: error.provider, tone: '-warn', title: `${providerTitle(titles, error.provider)} is in trouble`, detail: plain(error.detail) }));
    if (it.problem) notices.unshift({ key: '', tone: '-bad', ...troubleText(it.problem, page.session()?.apiUrl ?? '') });
    const preparing = page.state().vms.filter((vm) => vm.want === 'snapshot').map((vm) => ({ key: vm.id, tone: '', title: `${plain(vm.name)} prepares its disk`, detail: 'Its snapshot is here when that is done.' }));
    notices.push(...preparing);
    drawNotices(el.notices, notices, ask);
    show(el.skeleton, !it.loaded && !it.problem);
    show(el.empty, it.loaded && shown.length === 0 && notices.length === 0);
    show(el.list, shown.length > 0);
    reconcile(el.list, shown, (one) => one.id, createRow, updateRow);
    if (inside && !inside.isConnected && index >= 0) (el.list.children[Math.min(index, el.list.children.length - 1)]?.rowParts.title ?? view.querySelector('h1')).focus();
  }

  return {
    enter: ask,
    polled() {
      if (it.list.some((one) => !one.is_ready) || page.state().vms.some((vm) => vm.want === 'snapshot') || Date.now() - it.askedAt > FRESH_MS) ask();
    },
    draw(model) {
      it.now = model.now;
      draw();
    },
    reset() {
      it = empty();
      draw();
    },
  };
}

/**
 * The view of money: what runs per hour, the worst case, and each workspace as a bar on a time axis. The figures are
 * money-logic.js's.
 */

import { clone, drawNotices, parts, reconcile, setAttribute, setText, show } from './dom.js';
import { counted, plain } from './format.js';
import { providerTitle, totalsText } from './logic.js';
import { chartLabel, costRows, lastEndText, moneyChart, monthText } from './money-logic.js';

const SVG = 'http://www.w3.org/2000/svg';
const BAR = 12;

/** @param {HTMLElement} view */
export function mount(view, page) {
  const el = parts(view);
  let model = null;
  let drawn = '';

  /** Draws only what has moved: a picture that is made anew every second cannot be pointed at. */
  const drawPicture = (vms, now) => {
    const width = Math.floor(el.picture.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(el.chart).paddingInlineStart));
    if (width <= 0) return;
    const chart = moneyChart(vms, now, width);
    const text = JSON.stringify(chart);
    if (text === drawn) return;
    drawn = text;
    setAttribute(el.picture, 'viewBox', `0 0 ${chart.width} ${chart.height}`);
    setAttribute(el.picture, 'width', String(chart.width));
    setAttribute(el.picture, 'height', String(chart.height));
    setAttribute(el.picture, 'aria-label', chartLabel(vms));
    const children = [];
    const labels = [];
    // A mark is below its time and at each bar: no line runs through the words above the bars.
    const at = (x) => [`M${x} 16v5`, ...chart.bars.map((bar) => `M${x} ${bar.y + 16}v${BAR + 8}`)].join('');
    for (const tick of chart.ticks) {
      children.push(shape('path', { class: 'chart-tick', d: at(tick.x) }), words('chart-time', tick.x, 11, tick.text, 'middle'));
    }
    for (const bar of chart.bars) {
      const y = bar.y + 20;
      labels.push(words('chart-name', 0, bar.y + 13, bar.name, 'start'), words('chart-cost', chart.width, bar.y + 13, bar.cost, 'end'));
      children.push(length('chart-most', bar.most, y));
      if (bar.idle) children.push(length('chart-idle', bar.idle, y));
      children.push(length('chart-past', bar.past, y), shape('path', { class: 'chart-now', d: `M${chart.now} ${y - 3}V${y + BAR + 3}` }));
    }
    children.push(words('chart-now-text', Math.min(Math.max(chart.now, 12), chart.width - 12), 11, 'now', 'middle'));
    el.picture.replaceChildren(...children, ...labels);
  };

  const draw = () => {
    if (!model) return;
    const { vms, totals, now, errors, trouble, titles, loaded } = model;
    const shown = vms.filter((vm) => vm.state !== 'deleting');
    const notices = errors.map((error) => ({ key: error.provider, tone: '-warn', title: `Without ${providerTitle(titles, error.provider)}, which is in trouble`, detail: plain(error.detail) }));
    if (trouble) notices.unshift({ key: 'api', tone: '-bad', title: trouble.title, detail: trouble.detail });
    drawNotices(el.notices, notices, page.poll);
    const any = shown.length > 0 && totals !== null;
    for (const part of [el.money, el.chart, el.table]) show(part, any);
    show(el.empty, loaded && !any && notices.length === 0);
    if (!any) return;
    const counting = shown.filter((vm) => !vm.stale);
    const { hour, soFar, expiry, note } = totalsText(counting, totals);
    setText(el.hour, hour);
    setText(el.soFar, soFar);
    setText(el.expiry, expiry);
    setText(el.hourHint, monthText(counting, totals));
    setText(el.soFarHint, [counted(shown.length, 'workspace'), note].filter(Boolean).join(', '));
    setText(el.expiryHint, lastEndText(counting, now));
    drawPicture(shown, now);
    reconcile(el.rows, costRows(shown, now), (row) => row.id, () => clone('cost-template'), (line, row) => {
      setText(line.firstElementChild.firstElementChild, row.name);
      row.cells.forEach((text, index) => setText(line.children[index + 1], text));
    });
  };

  window.addEventListener('resize', () => !view.hidden && draw());

  return {
    enter: draw,
    draw(fresh) {
      model = fresh;
      draw();
    },
    reset() {
      model = null;
      drawn = '';
      el.picture.replaceChildren();
      el.rows.replaceChildren();
    },
  };
}

const length = (name, { x, width }, y) => shape('rect', { class: name, x, y, width, height: BAR, rx: Math.min(3, width / 2) });

function words(name, x, y, text, anchor) {
  const it = shape('text', { class: name, x, y, 'text-anchor': anchor });
  it.textContent = text;
  return it;
}

function shape(kind, attributes) {
  const it = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) it.setAttribute(name, String(value));
  return it;
}

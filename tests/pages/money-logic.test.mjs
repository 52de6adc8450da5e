// Money on a time axis: figures and geometry, with a clock and a width of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chartLabel, costRows, lastEndText, moneyChart, monthText } from '../../pages/money-logic.js';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-20T10:00:00Z');
const iso = (hours) => new Date(NOW + hours * HOUR).toISOString();
const vm = (changes = {}) => ({
  id: 'hetzner-1', name: 'mayfly-a', state: 'running', created_at: iso(-2.5), expires_at: iso(9.5),
  cost: { currency: 'EUR', per_hour: 0.1, so_far: 0.3, until_idle: 0.345, until_expiry: 1.2 }, idle: { deadline: iso(0.5) }, ...changes,
});

test('each row has its price, what it cost, what it costs if nobody touches it, and at most', () => {
  assert.deepEqual(costRows([vm()], NOW)[0].cells.slice(0, 4), ['€0.10/h', '€0.30', '€0.35', '€1.20']);
  const { until_idle: _, ...older } = vm().cost;
  assert.equal(costRows([vm({ cost: older })], NOW)[0].cells[2], '–', 'an API that does not say so is not guessed for');
  assert.deepEqual(costRows([vm({ cost: null, expires_at: null })], NOW)[0].cells, ['unknown', '–', '–', '–', 'never']);
  assert.equal(costRows([vm({ state: 'stopped' })], NOW)[0].cells[2], '–', 'a stopped one does not end for idleness');
  assert.equal(costRows([vm({ idle: { deadline: iso(20) } })], NOW)[0].cells[2], '–', 'nor one that expires before');
});

test('the picture has one lane per workspace, in order, within its width', () => {
  const chart = moneyChart([vm(), vm({ id: 'b', created_at: iso(-100), expires_at: iso(500), idle: null })], NOW, 600);
  assert.equal(chart.bars.length, 2);
  for (const bar of chart.bars) {
    for (const part of [bar.past, bar.idle, bar.most].filter(Boolean)) assert.ok(part.x >= 0 && part.width >= 0 && part.x + part.width <= 600.1, JSON.stringify(bar));
    assert.ok(Math.abs(bar.past.x + bar.past.width - chart.now) <= 0.1, 'what is spent ends now');
    assert.equal(bar.most.x, chart.now);
  }
  assert.equal(chart.bars[1].idle, null);
  assert.ok(chart.bars[1].y > chart.bars[0].y && chart.height > chart.bars[1].y);
  assert.equal(chart.bars[0].cost, '€0.30 → €1.20');
  assert.equal(moneyChart([vm({ expires_at: null, cost: { ...vm().cost, until_expiry: null } })], NOW, 600).bars[0].cost, '€0.30 → –', 'no end, no worst case');
});

test('the axis has as many marks as there is room for, and leaves now its place', () => {
  for (const width of [240, 600, 1100]) {
    const { ticks, now } = moneyChart([vm()], NOW, width);
    assert.ok(ticks.length >= 1 && ticks.length <= width / 50, `${ticks.length} marks on ${width}`);
    for (const tick of ticks) {
      assert.ok(tick.text === '' || Math.abs(tick.x - now) >= 44);
      const half = (tick.text.length * 7) / 2;
      assert.ok(tick.x - half >= 0 && tick.x + half <= width, `${tick.text} at ${tick.x} of ${width}`);
    }
  }
});

test('a long name is cut where its cost begins', () => {
  const [bar] = moneyChart([vm({ name: 'x'.repeat(63) })], NOW, 260).bars;
  assert.ok(bar.name.length < 25 && bar.name.endsWith('…'));
});

test('words for the whole of it', () => {
  assert.equal(monthText([vm()], { currency: 'EUR', price_per_hour: 0.1 }), '€73.00 a month, if nothing ended');
  assert.equal(monthText([vm()], { currency: null, price_per_hour: 0.1 }), '', 'two currencies have no sum');
  assert.equal(lastEndText([], NOW), '');
  assert.match(lastEndText([vm(), vm({ expires_at: null })], NOW), /^if all of it runs until /);
  assert.equal(chartLabel([vm()]), '1 workspace on a time axis, from creation to end. The table below has the same figures.');
});

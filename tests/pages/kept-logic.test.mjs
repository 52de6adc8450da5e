// What is said about snapshots and leftovers, with a clock of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everythingLosses, leftoverText, reapText, snapshotLosses, snapshotText } from '../../pages/kept-logic.js';

const NOW = Date.parse('2026-11-20T10:00:00Z');
const TITLES = new Map([['hetzner', 'Hetzner Cloud']]);
const snapshot = (changes = {}) => ({
  id: 'hetzner-7', provider: 'hetzner', description: 'with the database', created_at: '2026-11-20T09:00:00Z', age_seconds: 3600, size_gb: 2.34, min_disk_gb: 40,
  is_ready: true, is_clean: true, profile: 'coding', repo_url: 'https://github.com/o/r.git', expires_at: '2026-12-20T10:00:00Z', locations: [], ...changes,
});

test('a snapshot says what it is, where, how large, and until when', () => {
  assert.deepEqual(snapshotText(snapshot(), TITLES, NOW), {
    name: 'with the database', state: { label: 'Ready', tone: 'good' }, note: 'github.com/o/r', about: 'Hetzner Cloud · 1 h old · needs a disk of 40 GB',
    size: '2.3 GB', price: '', until: '30 days more',
  });
  assert.equal(snapshotText(snapshot({ monthly_price: { currency: 'EUR', amount: 0.0257 } }), TITLES, NOW).price, '€0.03');
  assert.equal(snapshotText(snapshot({ locations: ['GRA11'] }), TITLES, NOW).about.split(' · ')[0], 'Hetzner Cloud (GRA11)');
});

test('what is unfinished, unclean or unknown is said to be', () => {
  const text = (changes) => snapshotText(snapshot(changes), TITLES, NOW);
  assert.deepEqual([text({ is_ready: false, size_gb: null }).state.label, text({ is_ready: false, size_gb: null }).size], ['Being stored', '–']);
  assert.equal(text({ is_clean: false }).state.tone, 'warn');
  assert.match(text({ is_clean: false }).about, /secrets are still on it/);
  assert.equal(text({ expires_at: null }).until, 'you delete it');
  assert.equal(text({ description: '' }).name, 'hetzner-7');
  assert.equal(text({ description: '\u202Egnp' }).name, '\uFFFDgnp');
  assert.match(snapshotLosses(snapshot({ size_gb: null }))[0], /^The stored disk, and/);
});

test('a leftover has a kind, a reason, and a price where one is known', () => {
  const vms = [{ id: 'hetzner-1', cost: { currency: 'EUR', per_hour: 0.01 } }];
  assert.deepEqual(leftoverText({ provider: 'hetzner', kind: 'vm', id: 'hetzner-1', name: 'mayfly-a', reason: 'expired' }, TITLES, vms), { kind: 'Server', name: 'mayfly-a', about: 'Hetzner Cloud · Expired', isBilled: true, price: '€7.30 per month' });
  assert.deepEqual(leftoverText({ provider: 'x', kind: 'new_kind', id: '9', name: '', reason: '' }, TITLES, vms), { kind: 'new_kind', name: '9', about: 'X · ', isBilled: false, price: '' });
  const priced = (amount) => {
    const { price, isBilled } = leftoverText({ provider: 'hetzner', kind: 'primary_ip', id: '9', name: 'a', reason: 'r', monthly_price: { currency: 'EUR', amount } }, TITLES, vms);
    return [price, isBilled];
  };
  assert.deepEqual([priced(0.595), priced(0)], [['€0.60 per month', true], ['free', false]]);
});

test('a clean-up never says that it did what it did not', () => {
  const one = { kind: 'vm' };
  assert.equal(reapText({ reaped: [], failed: [] }), 'There was nothing to clean up.');
  assert.equal(reapText({ reaped: [one, one], failed: [] }), '2 things cleaned up.');
  assert.equal(reapText({ reaped: [], failed: [one] }), 'Nothing could be cleaned up. The next run tries the rest again.');
  assert.equal(reapText({ reaped: [one], failed: [one] }), '1 thing cleaned up. The next run tries the rest again.');
});

test('everything is named before it goes, unknown snapshots too', () => {
  const vms = Array.from({ length: 7 }, (_, index) => ({ name: `vm-${index}` }));
  assert.deepEqual(everythingLosses([], []), []);
  assert.equal(everythingLosses(vms, [])[0], '7 workspaces: vm-0, vm-1, vm-2, vm-3, vm-4 and 2 more');
  assert.deepEqual(everythingLosses([], [snapshot()]), ['1 snapshot: with the database']);
  assert.deepEqual(everythingLosses([], null), ['All of your snapshots']);
});

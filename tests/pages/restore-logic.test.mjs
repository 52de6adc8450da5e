// Which backups belong to what was pasted, and what the choices say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { understandRepo } from '../../pages/repo-url.js';
import { keptOf, repositoryOf, restoreChoices } from '../../pages/restore-logic.js';

const NOW = Date.parse('2026-11-20T12:00:00Z');
const at = (hours) => new Date(NOW - hours * 3_600_000).toISOString();
const kept = (repository, hours, size_bytes = 120_400_000) => ({
  name: 'n', repository, size_bytes, snapshots: hours.map((one, nth) => ({ id: `${nth}`.repeat(64), saved_at: at(one) })),
});

test('one repository is the same however it was pasted', () => {
  for (const pasted of [
    'riverside/Atlas', 'https://github.com/riverside/Atlas', 'https://GitHub.com/riverside/Atlas.git', 'git@github.com:riverside/Atlas.git',
    'ssh://git@github.com:22/riverside/Atlas', 'https://github.com/riverside/Atlas/tree/main', 'git clone https://www.github.com/riverside/Atlas/',
  ]) {
    assert.equal(repositoryOf(understandRepo(pasted).repo_url), 'github.com/riverside/Atlas', pasted);
  }
  assert.equal(repositoryOf('https://git.sr.ht/~ann/x'), 'git.sr.ht/~ann/x');
  assert.equal(repositoryOf('https://[2606:4700::1]:8443/a/b.git'), '[2606:4700::1]/a/b');
  assert.equal(repositoryOf(''), '');
});

test('a workspace without a backup offers nothing, and another repository’s is none', () => {
  const list = [kept('github.com/o/empty', []), kept('github.com/o/a', [3]), kept('github.com/o/ab', [1])];
  assert.equal(keptOf(list, 'https://github.com/o/a'), list[1]);
  assert.equal(keptOf(list, 'https://github.com/o/empty'), null);
  assert.equal(keptOf(list, 'https://github.com/O/a'), null);
  assert.equal(keptOf([], 'https://github.com/o/a'), null);
});

test('the newest is the usual choice, then a fresh start, then the older ones from new to old', () => {
  const choices = restoreChoices(kept('github.com/o/a', [30, 3, 24 * 9]), NOW);
  assert.deepEqual(choices.map((one) => one.value), ['', 'none', '0'.repeat(64), '2'.repeat(64)]);
  assert.equal(choices[0].label, 'Continue where you left off (backup of 3 h ago, 120 MB)');
  assert.match(choices[2].label, /^Older backup: 19 Nov, \d\d:00 \(30 h ago\)$/);
  assert.match(choices[3].label, /^Older backup: 11 Nov, \d\d:00 \(9 days ago\)$/);
});

test('sizes and ages are in the unit that people would say', () => {
  const first = (hours, size) => restoreChoices(kept('r', [hours], size), NOW)[0].label.replace(/^.*\(backup of |\)$/g, '');
  assert.equal(first(0, 900), 'just now, 0.9 KB');
  assert.equal(first(0.5, 4_200_000), '30 min ago, 4.2 MB');
  assert.equal(first(-1, 2_340_000_000), 'just now, 2.3 GB');
  assert.equal(first(49, 43_000_000_000), '2 days ago, 43 GB');
});

test('a long history shows its newest part', () => {
  assert.equal(restoreChoices(kept('r', Array.from({ length: 300 }, (_, nth) => nth)), NOW).length, 32);
});

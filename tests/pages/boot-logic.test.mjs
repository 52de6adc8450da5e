// The boot as the page tells it: phases, times, progress, with a clock of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootProgress, bootTime, stepShare, stepTime, timeline, usualSeconds } from '../../pages/boot-logic.js';
import { failure } from '../../pages/logic.js';

const CREATED = '2026-11-20T10:00:00Z';
const at = (seconds) => Date.parse(CREATED) + seconds * 1000;
const USUAL = { booting: 30, docker: 20, clone: 5, devcontainer: 60, ui: 10 };
const vm = (changes = {}) => ({ state: 'running', phase: 'ready', services_ready: true, created_at: CREATED, boot: { phases: [], reason: null }, ...changes });
const booting = (phase, phases = [], changes = {}) => vm({ phase, services_ready: false, boot: { phases, reason: null }, ...changes });

test('the timeline shows reported seconds for what is done and running ones for what is not', () => {
  const steps = timeline(booting('devcontainer', [{ phase: 'booting', seconds: 21 }, { phase: 'docker', seconds: 12 }, { phase: 'clone', seconds: 3 }]), at(70), USUAL, at(40));
  assert.deepEqual(steps.map(({ state, seconds }) => [state, seconds]), [['done', 21], ['done', 12], ['done', 3], ['active', 30], ['waiting', null]]);
  assert.equal(steps[3].rough, false);
});

test('a page opened in the middle of a boot knows only about when the phase began, and says so', () => {
  const steps = timeline(booting('docker', [{ phase: 'booting', seconds: 21 }]), at(31), USUAL);
  assert.deepEqual([steps[1].seconds, steps[1].rough], [10, true]);
  assert.equal(stepTime(steps[1]), 'about 10 s of 20 s');
  assert.equal(stepTime({ ...steps[1], seconds: 25 }), 'about 25 s, usually 20 s');
});

test('the first phase begins with the VM, so it is exact without having been watched', () => {
  const [first] = timeline(booting('booting', [], { state: 'creating' }), at(8), USUAL);
  assert.deepEqual([first.state, first.seconds, first.rough], ['active', 8, false]);
});

test('what only this page has timed is shown as about', () => {
  const [server] = timeline(booting('docker'), at(31), USUAL, at(22), { booting: 22 });
  assert.deepEqual([server.state, stepTime(server)], ['done', 'about 22 s']);
});

test('a boot after a stop and a start is not as old as the VM', () => {
  const later = at(9 * 3600);
  assert.equal(timeline(booting('booting'), later, USUAL)[0].seconds, null);
  assert.equal(timeline(booting('booting'), later, USUAL, later - 4000)[0].seconds, 4);
});

test('a phase that ran side by side counts as done before its turn', () => {
  const steps = timeline(booting('docker', [{ phase: 'clone', seconds: 3 }]), at(30), USUAL, at(20));
  assert.deepEqual(steps.map((step) => step.state), ['done', 'active', 'done', 'waiting', 'waiting']);
});

test('a failure is shown in its own phase, with nothing after it', () => {
  const failed = vm({ phase: 'failed', boot: { phases: [{ phase: 'docker', seconds: 12 }], reason: { phase: 'clone', code: 'auth_failed' } } });
  assert.deepEqual(timeline(failed, at(90), USUAL).map((step) => step.state), ['done', 'done', 'failed', 'waiting', 'waiting']);
  const { title, detail, fatal } = failure(failed);
  assert.equal(title, 'Clone failed');
  assert.match(detail, /git token/);
  assert.equal(fatal, true);
});

test('progress grows with the phases and never claims the end of a running one', () => {
  const early = bootProgress(timeline(booting('docker', [{ phase: 'booting', seconds: 30 }]), at(30), USUAL, at(30)));
  assert.deepEqual(early, { share: 30 / 125, secondsLeft: 95, late: false });
  const slow = timeline(booting('ui', []), at(9000), USUAL, at(100));
  assert.equal(stepShare(slow[4]), 0.95);
  assert.ok(bootProgress(slow).share < 1);
});

test('a phase that takes longer than usual is late, and nobody says what is left of it', () => {
  const progress = (seconds) => bootProgress(timeline(booting('docker', [{ phase: 'booting', seconds: 30 }]), at(30 + seconds), USUAL, at(30)));
  assert.deepEqual([progress(20).late, progress(20).secondsLeft > 0], [false, true]);
  assert.equal(progress(21).late, true);
  assert.equal(progress(4000).late, true);
  assert.equal(bootProgress(timeline(vm(), at(9000), USUAL)).late, false, 'one that is up is not late');
});

test('the usual time is the median of the boots in the list, and ours where there is none', () => {
  const done = (seconds) => vm({ boot: { phases: [{ phase: 'devcontainer', seconds }], reason: null } });
  const usual = usualSeconds([done(300), done(40), done(50), booting('ui', [{ phase: 'devcontainer', seconds: 1 }])]);
  assert.equal(usual.devcontainer, 50);
  assert.equal(usual.clone, usualSeconds([]).clone);
  assert.equal(bootTime(done(40)), 40);
  assert.equal(bootTime(vm()), null);
});

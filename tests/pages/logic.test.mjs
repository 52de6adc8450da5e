// What the list says about workspaces, with a clock and a chance of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBooting } from '../../pages/boot-logic.js';
import {
  actionsOf, apiAddress, attemptLines, clockOffset, costNote, costText, deleteLosses, expiryText, failure, idleText, mergeVms, newsBetween, pageTitle, parseHash,
  pollDelay, providerTitle, retryAfter, stateOf, timeLeft, totalsText, troubleText, verdictLines, verdictSummary,
} from '../../pages/logic.js';

const CREATED = '2026-11-20T10:00:00Z';
const at = (seconds) => Date.parse(CREATED) + seconds * 1000;
const iso = (seconds) => new Date(at(seconds)).toISOString();

function vm(changes = {}) {
  return {
    id: 'hetzner-1', name: 'mayfly-r-ab', provider: 'hetzner', location: 'fsn1', server_type: 'cx33', state: 'running', phase: 'ready', services_ready: true,
    attention: null, created_at: CREATED, age_seconds: 93, cost: { currency: 'EUR', per_hour: 0.0128, so_far: 0.0128, until_expiry: 0.15 },
    idle: { limit_minutes: 30, active_at: iso(60), deadline: iso(1860), verdict: [] }, expires_at: iso(43_200),
    boot: { phases: [], reason: null }, urls: {}, ssh: null, ...changes,
  };
}
const booting = (phase, phases = [], changes = {}) => vm({ phase, services_ready: false, boot: { phases, reason: null }, ...changes });
const listing = (vms, errors = []) => ({ vms, errors, totals: { count: vms.length, currency: 'EUR', price_per_hour: 0, cost_so_far: 0, cost_until_expiry: 0 } });

test('the state is one word, and power wins over phase', () => {
  const label = (changes) => stateOf(vm(changes)).label;
  assert.equal(label({}), 'Ready');
  assert.equal(label({ services_ready: false }), 'Not reporting');
  assert.equal(label({ phase: 'clone' }), 'Starting');
  assert.equal(label({ state: 'creating', phase: 'booting' }), 'Starting');
  assert.equal(label({ phase: 'failed' }), 'Failed');
  assert.equal(label({ phase: 'stopping' }), 'Stopping');
  assert.equal(label({ state: 'stopped' }), 'Stopped');
  assert.equal(label({ state: 'deleting', phase: 'failed' }), 'Deleting');
  assert.equal(label({ state: 'unknown' }), 'State unknown');
});

test('a stopped VM whose boot never ended is not booting', () => {
  assert.equal(isBooting(booting('docker')), true);
  assert.equal(isBooting(booting('docker', [], { state: 'stopped' })), false);
});

test('a warning beside ready is told, but is no failure', () => {
  const warned = failure(vm({ boot: { phases: [], reason: { phase: 'devcontainer', code: 'fallback' } } }));
  assert.equal(warned.fatal, false);
  assert.match(warned.detail, /default one is running/);
  const unsaved = failure(vm({ boot: { phases: [], reason: { phase: 'ready', code: 'not_saved', detail: 'the last backup failed' } } }));
  assert.deepEqual([unsaved.title, unsaved.detail, unsaved.fatal], ['Work is not saved', 'the last backup failed', false]);
  assert.equal(failure(vm()), null);
});

test('the VM’s own words go before ours, and a code that we do not know is shown', () => {
  const detail = (reason) => failure(vm({ phase: 'failed', boot: { phases: [], reason } })).detail;
  assert.equal(detail({ phase: 'ui', code: 'ui_failed', detail: 'exit 7' }), 'exit 7');
  assert.equal(detail({ phase: 'ui', code: 'brand_new' }), 'brand_new');
});

test('the idle deadline counts down, warns in its last minutes, and passes', () => {
  assert.deepEqual(idleText(vm(), at(60)), { value: 'in 30 min', hint: 'Limit 30 min', tone: 'quiet' });
  assert.equal(idleText(vm(), at(1620)).tone, 'warn');
  assert.equal(idleText(vm(), at(1860)).value, 'Any moment');
  assert.equal(idleText(vm({ idle: null }), at(0)).value, 'Never');
  assert.equal(idleText(vm({ state: 'stopped' }), at(0)).value, '–');
});

test('the expiry has a countdown and an hour, or is never', () => {
  assert.equal(expiryText(vm(), at(0)).value, 'in 12 h');
  assert.equal(expiryText(vm(), at(50_000)).value, 'Any moment');
  assert.equal(expiryText(vm({ expires_at: null }), at(0)).value, 'Never');
});

test('why it is not idle: newest signal first, those within the limit keep it alive', () => {
  const busy = vm({ idle: { limit_minutes: 30, active_at: iso(0), deadline: iso(1800), verdict: [{ signal: 'ssh', age_minutes: null }, { signal: 'files', age_minutes: 40 }, { signal: 'agent', age_minutes: 3 }, { signal: 'odd', age_minutes: null }] } });
  assert.deepEqual(verdictLines(busy), [
    { title: 'Agent’s tools', age: '3 min ago', alive: true },
    { title: 'Files of the workspace', age: '40 min ago', alive: false },
    { title: 'SSH connection', age: 'never', alive: false },
    { title: 'odd', age: 'never', alive: false },
  ]);
  assert.equal(verdictSummary(busy, at(60)), 'Kept alive by: Agent’s tools, 3 min ago.');
});

test('why it is idle, and what is known before the first report', () => {
  const idle = vm({ idle: { limit_minutes: 30, active_at: iso(0), deadline: iso(1800), verdict: [{ signal: 'agent', age_minutes: 31 }] } });
  assert.equal(verdictSummary(idle, at(1860)), 'No activity for 31 min. Nothing keeps it alive.');
  assert.match(verdictSummary(booting('docker'), at(5)), /since creation/);
});

test('cost: per hour, so far, and until expiry; or honestly unknown', () => {
  assert.deepEqual(costText(vm()), { value: '€0.0128/h', hint: '€0.01 so far, €0.15 until expiry' });
  assert.equal(costText(vm({ cost: { currency: 'EUR', per_hour: 1, so_far: 2, until_expiry: null } })).hint, '€2.00 so far');
  assert.deepEqual(costText(vm({ cost: null })), { value: '–', hint: 'Price unknown' });
});

test('totals come from the API, and per currency where it gives none for all', () => {
  assert.deepEqual(totalsText([vm()], { currency: 'EUR', price_per_hour: 0.0128, cost_so_far: 0.2, cost_until_expiry: 3 }), { hour: '€0.0128/h', soFar: '€0.20', expiry: '€3.00', note: '' });
  const dollars = vm({ id: 'ec2-1', cost: { currency: 'USD', per_hour: 0.05, so_far: 1, until_expiry: 2 } });
  assert.equal(totalsText([vm(), dollars, vm()], { currency: null }).hour, '€0.0256/h + $0.05/h');
});

test('an unknown price is no zero: none at all is a dash, some are told beside the sum', () => {
  const totals = { currency: null, price_per_hour: 0, cost_so_far: 0, cost_until_expiry: 0 };
  const unknown = vm({ cost: null });
  assert.deepEqual(totalsText([unknown, unknown], totals), { hour: '–', soFar: '–', expiry: '–', note: '2 without a known price' });
  const some = totalsText([vm(), unknown], { currency: 'EUR', price_per_hour: 0.0128, cost_so_far: 0.2, cost_until_expiry: 3 });
  assert.deepEqual([some.hour, some.expiry, some.note], ['€0.0128/h', '€3.00', '1 without a known price']);
  const endless = vm({ cost: { currency: 'EUR', per_hour: 1, so_far: 2, until_expiry: null } });
  assert.deepEqual(totalsText([endless], { ...totals, currency: 'EUR', cost_so_far: 2 }), { hour: '€0.00/h', soFar: '€2.00', expiry: '–', note: '1 without an end, and so without a worst case' });
  assert.equal(totalsText([vm(), unknown], totals).note, '1 without a known price', 'also where currencies are added up');
});

test('what it has cost is told whole, however much it is', () => {
  assert.equal(costNote(vm({ cost: { currency: 'EUR', per_hour: 9, so_far: 1234.5, until_expiry: 2000 } })), 'It has cost €1,234.50 so far and costs nothing more afterwards.');
  assert.equal(costNote(vm({ cost: null })), 'It costs nothing more afterwards.');
});

test('deleting names what is lost, work in progress first', () => {
  assert.match(deleteLosses(vm(), at(180))[0], /last activity 2 min ago/);
  assert.match(deleteLosses(vm({ attention: 'waiting' }), at(180))[0], /waits for your answer/);
  assert.match(deleteLosses(vm(), at(9000))[0], /server cx33 in fsn1/);
  assert.ok(deleteLosses(vm(), at(9000)).some((line) => /not pushed/.test(line)));
});

test('a failing provider’s VMs stay as last seen, because they still cost money', () => {
  const other = vm({ id: 'scaleway-1', provider: 'scaleway', created_at: iso(5) });
  const merged = mergeVms([vm(), other], listing([vm()], [{ provider: 'scaleway', code: 'provider_unavailable', detail: '' }]));
  assert.deepEqual(merged.map(({ id, stale }) => [id, Boolean(stale)]), [['scaleway-1', true], ['hetzner-1', false]]);
});

test('what a healthy provider no longer lists is gone, and so is what was just deleted here', () => {
  assert.deepEqual(mergeVms([vm(), vm({ id: 'hetzner-2' })], listing([vm()])).map((one) => one.id), ['hetzner-1']);
  assert.deepEqual(mergeVms([vm()], listing([vm()]), new Set(['hetzner-1'])), []);
});

test('rows keep their order: newest first, equal ones by id', () => {
  const ids = mergeVms([], listing([vm({ id: 'b' }), vm({ id: 'new', created_at: iso(9) }), vm({ id: 'a' })])).map((one) => one.id);
  assert.deepEqual(ids, ['new', 'a', 'b']);
});

test('a wrong clock on the phone is noticed, rounding is not', () => {
  assert.equal(clockOffset([vm()], at(93) - 600_000), 600_000);
  assert.equal(clockOffset([vm()], at(93.9)), 0);
  assert.equal(clockOffset([], at(0)), 0);
});

test('polls fast while something changes, slowly when not, slower when there is nothing', () => {
  const delay = (vms) => pollDelay({ vms, failures: 0, retryAfterSeconds: null, random: 0 });
  assert.ok(delay([booting('clone')]) <= 5000);
  assert.ok(delay([vm({ state: 'deleting' })]) <= 5000);
  assert.ok(delay([vm()]) >= 15_000);
  assert.ok(delay([]) > delay([vm()]));
  assert.equal(delay([booting('clone', [], { stale: true })]), delay([vm()]), 'what cannot be seen does not change');
});

test('backs off on trouble: doubling, bounded, never before the API asks for', () => {
  const delay = (failures, retryAfterSeconds = null, random = 0) => pollDelay({ vms: [booting('clone')], failures, retryAfterSeconds, random });
  assert.deepEqual([1, 2, 3, 4].map((failures) => delay(failures)), [5000, 10_000, 20_000, 40_000]);
  assert.equal(delay(50), 120_000);
  assert.equal(delay(1, 300), 300_000);
  assert.ok(delay(1, null, 0.999) > 5000 && delay(1, null, 0.999) < 6001);
});

test('a provider in trouble is asked less often, too, and never before it allows it', () => {
  const delay = (troubled, errors = [], vms = [vm()]) => pollDelay({ vms, failures: 0, troubled, retryAfterSeconds: retryAfter(errors), random: 0 });
  const error = (seconds) => ({ provider: 'p', code: 'c', detail: 'd', ...(seconds && { retry_after_seconds: seconds }) });
  assert.equal(delay(1), delay(0), 'once is no trouble');
  assert.deepEqual([4, 5, 50].map((times) => delay(times)), [40_000, 80_000, 120_000]);
  assert.equal(delay(50, [], [booting('clone')]), 20_000, 'what happens at the others is still followed');
  assert.equal(delay(1, [error(), error(90), error(300)], [booting('clone')]), 300_000);
  assert.equal(retryAfter([error()]), null);
});

test('the title tells what waits, then what starts', () => {
  assert.equal(pageTitle([vm({ attention: 'waiting' }), booting('ui')], 'Workspaces'), '(1 waiting) Workspaces · Mayfly');
  assert.equal(pageTitle([booting('ui')], 'Workspaces'), '(1 starting) Workspaces · Mayfly');
  assert.equal(pageTitle([vm()], 'Workspaces'), 'Workspaces · Mayfly');
});

test('news are said once, and nothing is said about what was never seen before', () => {
  assert.deepEqual(newsBetween([booting('ui')], [vm()]), ['mayfly-r-ab: Ready.']);
  assert.deepEqual(newsBetween([booting('docker')], [booting('clone')]), ['mayfly-r-ab: Clone.']);
  assert.deepEqual(newsBetween([vm()], [vm({ attention: 'waiting' })]), ['mayfly-r-ab waits for your answer.']);
  assert.deepEqual([newsBetween([vm()], [vm()]), newsBetween([], [vm()])], [[], []]);
});

test('trouble is put at the door of whoever is in it', () => {
  const title = (code, status = 503) => troubleText({ code, status, detail: 'd' }, 'https://api.example').title;
  assert.match(title('unreachable', 0), /API does not answer/);
  assert.match(title('offline', 0), /device is offline/);
  assert.match(title('provider_unavailable'), /cloud provider/);
  assert.match(title('internal', 500), /answered 500/);
  const { detail } = troubleText({ code: 'misconfigured', status: 503, detail: 'Not ready.', errors: [{ field: 'SIGNING_KEY', detail: 'is missing' }] }, '');
  assert.equal(detail, 'Not ready. SIGNING_KEY: is missing');
});

test('the address names a view, and a repository to start from', () => {
  const none = { repo: null, branch: null, snapshot: null };
  assert.deepEqual(parseHash('#new?repo=https%3A%2F%2Fgithub.com%2Fo%2Fr&branch=dev'), { ...none, view: 'new', repo: 'https://github.com/o/r', branch: 'dev' });
  assert.deepEqual(parseHash('#/new?repo=o/r'), { ...none, view: 'new', repo: 'o/r' });
  assert.deepEqual(parseHash('#new?snapshot=hetzner-7'), { ...none, view: 'new', snapshot: 'hetzner-7' });
  for (const view of ['snapshots', 'costs', 'leftovers']) assert.deepEqual(parseHash(`#${view}?repo=o/r`), { ...none, view });
  for (const other of ['', '#', '#list', '#newer', '#constructor']) assert.equal(parseHash(other).view, 'list');
});

test('the API’s address: empty is this origin, http only on this machine, never with a password', () => {
  const url = (typed) => apiAddress(typed, 'https://page.example').url;
  assert.equal(url(' '), 'https://page.example');
  assert.equal(url('mayfly.someone.workers.dev/'), 'https://mayfly.someone.workers.dev');
  assert.equal(url('https://host/base/'), 'https://host/base');
  assert.equal(url('http://127.0.0.1:8787'), 'http://127.0.0.1:8787');
  for (const wrong of ['http://host', 'https://a:b@host', 'ftp://host', 'https://']) assert.equal(apiAddress(wrong, 'https://p').ok, false, wrong);
});

test('attempts are told in words, titles fall back to names', () => {
  assert.deepEqual(attemptLines([{ server_type: 'cx23', location: 'fsn1', outcome: 'capacity' }]), ['cx23 in fsn1: no room']);
  assert.deepEqual([providerTitle(new Map([['hetzner', 'Hetzner Cloud']]), 'hetzner'), providerTitle(new Map(), 'scaleway')], ['Hetzner Cloud', 'Scaleway']);
});

test('what may be done follows from state and wishes', () => {
  const can = (changes) => Object.entries(actionsOf(vm({ state: 'running', phase: 'ready', want: null, ...changes }))).filter(([, may]) => may).map(([name]) => name).join(' ');
  assert.equal(can({}), 'stop extend snapshot');
  assert.equal(can({ want: 'keep' }), 'stop extend snapshot');
  assert.equal(can({ phase: 'clone' }), 'stop extend', 'half a boot is no good state');
  assert.equal(can({ want: 'snapshot' }), '');
  assert.equal(can({ want: 'stop' }), '');
  assert.equal(can({ phase: 'stopping' }), '');
  assert.equal(can({ state: 'stopped', want: 'stop' }), 'start snapshot');
  assert.equal(can({ state: 'creating', phase: 'booting' }), 'extend');
  assert.equal(can({ state: 'deleting' }), '');
  assert.equal(can({ market: 'spot' }), 'extend snapshot', 'a spot VM is gone when it stops');
  assert.equal(can({ market: 'on-demand' }), 'stop extend snapshot');
  assert.equal(stateOf(vm({ state: 'running', phase: 'ready', want: 'stop' })).label, 'Stopping');
  assert.equal(stateOf(vm({ state: 'running', phase: 'ready', want: 'snapshot' })).label, 'Taking a snapshot');
});

test('what is left of its times is a share, and none where there is no end', () => {
  assert.deepEqual(timeLeft(vm({ expires_at: iso(7200) }), at(1800)), { idle: 60 / 1800, expiry: 0.75 });
  assert.deepEqual(timeLeft(vm({ expires_at: iso(7200) }), at(9000)), { idle: 0, expiry: 0 });
  assert.deepEqual(timeLeft(vm({ state: 'stopped', expires_at: null }), at(0)), { idle: null, expiry: null });
});

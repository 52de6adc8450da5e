// A VM that is stopped, started and kept, through the real runtime against the fake cloud with its simulated guests; and
// the end of everything. What each step writes is tested natively (tests/api/lifecycle.rs).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const REPO = 'https://github.com/octocat/Hello-World';
let cloud;
let worker;

before(async () => {
  cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 50 });
  await cloud.config({ heartbeat_max_ms: 300 });
  worker = await startWorker({ vars: { ...cloud.vars, MAX_VMS: '2' }, bucket: true });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
});

const vmOf = async (id) => (await worker.api('GET', `/vms/${id}`)).body.vm;
const reaches = (id, what, is) => until(what, async () => {
  const vm = await vmOf(id);
  return is(vm) && vm;
}, { timeoutMs: 30_000 });

test('stop, start, extend: each does what it says, and what is not possible says what is', async () => {
  const { body: { vm: { id } } } = await worker.api('POST', '/vms', { repo_url: REPO, max_hours: 3 });
  await reaches(id, 'ready', (vm) => vm.services_ready);

  const early = await worker.api('POST', `/vms/${id}/start`);
  assert.equal(early.status, 409);
  assert.match(early.body.detail, /^The VM is running: start is not possible now\. Possible: stop, /);

  const stopped = await worker.api('POST', `/vms/${id}/stop`);
  assert.equal(stopped.status, 202);
  assert.equal(stopped.body.vm.want, 'stop');
  assert.match(stopped.body.detail, /saves its work first/);
  // The guest hears of it with its next heartbeat, says that it is done, and the Worker has it shut down.
  const off = await reaches(id, 'stopped', (vm) => vm.state === 'stopped');
  const hours = (Date.parse(off.expires_at) - Date.now()) / 3_600_000;
  assert.ok(hours > 71.9 && hours <= 72, `it may stay stopped for ${hours} hours`);
  assert.equal((await worker.api('POST', `/vms/${id}/stop`)).status, 409);

  const started = await worker.api('POST', `/vms/${id}/start`);
  assert.equal(started.status, 202);
  assert.equal(started.body.vm.phase, 'booting');
  const again = await reaches(id, 'ready again', (vm) => vm.services_ready);
  const left = (Date.parse(again.expires_at) - Date.now()) / 3_600_000;
  assert.ok(left > 2.9 && left <= 3, `${left} hours left`);
  assert.equal(again.want, null);

  const longer = await worker.api('POST', `/vms/${id}/extend`, { minutes: 90 });
  assert.equal(longer.status, 200);
  assert.equal(Date.parse(longer.body.vm.expires_at) - Date.parse(again.expires_at), 90 * 60_000);
  assert.equal(longer.body.vm.want, 'keep');
});

test('a disk is stored when the VM has prepared it, and another VM begins with it', async () => {
  const { body: { vms: [{ id }] } } = await worker.api('GET', '/vms');
  const asked = await worker.api('POST', `/vms/${id}/snapshots`, { description: 'a good state' });
  assert.equal(asked.status, 202);
  assert.deepEqual([asked.body.vm.want, asked.body.snapshot], ['snapshot', null]);
  const list = () => worker.api('GET', '/snapshots').then(({ body }) => body.snapshots);
  const [snapshot] = await until('a snapshot', async () => {
    const found = await list();
    return found.length > 0 && found[0].is_ready && found;
  }, { timeoutMs: 30_000 });
  assert.deepEqual([snapshot.description, snapshot.is_clean, snapshot.repo_url], ['a good state', true, REPO]);
  await reaches(id, 'the VM goes on', (vm) => vm.want === null);
  assert.equal((await list()).length, 1, 'it was taken once');

  const second = await worker.api('POST', '/vms', { repo_url: REPO, snapshot_id: snapshot.id });
  assert.equal(second.status, 201, JSON.stringify(second.body));
  const { servers } = await cloud.state();
  const made = servers.find((it) => `hetzner-${it.id}` === second.body.vm.id);
  assert.equal(`hetzner-${made.image.id}`, snapshot.id);
  assert.equal((await worker.api('DELETE', `/vms/${second.body.vm.id}`)).status, 200);
  assert.equal((await worker.api('DELETE', `/snapshots/${snapshot.id}`)).body.already_gone, false);
  assert.equal((await worker.api('DELETE', `/snapshots/${snapshot.id}`)).body.already_gone, true);
  await until('the second is gone', async () => (await cloud.state()).servers.length === 1);
});

test('a golden snapshot is made by itself, and a VM starts from it', async () => {
  await cloud.config({ heartbeat_max_ms: 300 });
  const none = await worker.api('POST', '/vms', { repo_url: REPO, from: 'golden' });
  assert.deepEqual([none.status, none.body.code], [409, 'no_golden_snapshot']);

  const before = (await worker.api('GET', '/vms')).body.vms.map((it) => it.id);
  const asked = await worker.api('POST', '/snapshots/golden', { profile: 'coding' });
  assert.equal(asked.status, 202, JSON.stringify(asked.body));
  const again = await worker.api('POST', '/snapshots/golden', { profile: 'coding' });
  assert.deepEqual([again.status, again.body.vm.id], [202, asked.body.vm.id], 'one VM is enough');
  // The VM boots, prepares its disk, is stored and is gone; nobody asks for any of it.
  const golden = await until('the snapshot is there and its VM is gone', async () => {
    const { snapshots } = (await worker.api('GET', '/snapshots')).body;
    const { vms } = (await worker.api('GET', '/vms')).body;
    const isGone = !vms.some((it) => it.id === asked.body.vm.id && it.state !== 'deleting');
    return isGone && snapshots.find((it) => it.is_golden && it.is_ready);
  }, { timeoutMs: 60_000 });
  assert.deepEqual([golden.profile, golden.repo_url, golden.is_clean], ['coding', null, true]);
  assert.ok(golden.monthly_price.amount > 0 && golden.monthly_price.currency === 'EUR');

  const started = await worker.api('POST', '/vms', { repo_url: REPO, from: 'golden' });
  assert.equal(started.status, 201, JSON.stringify(started.body));
  const { servers } = await cloud.state();
  assert.equal(`hetzner-${servers.find((it) => `hetzner-${it.id}` === started.body.vm.id).image.id}`, golden.id);
  assert.equal((await worker.api('DELETE', `/vms/${started.body.vm.id}`)).status, 200);
  assert.equal((await worker.api('DELETE', `/snapshots/${golden.id}`)).status, 200);
  await until('it is as before', async () => {
    const { vms } = (await worker.api('GET', '/vms')).body;
    return vms.map((it) => it.id).join() === before.join();
  });
});

test('a ceiling holds, with the figures', async () => {
  const second = await worker.api('POST', '/vms', { repo_url: REPO });
  assert.equal(second.status, 201);
  const third = await worker.api('POST', '/vms', { repo_url: REPO });
  assert.equal(third.status, 429);
  assert.deepEqual(third.body.errors, [{ field: 'MAX_VMS', detail: 'is 2, and there are 2 VMs' }]);
  assert.equal((await cloud.state()).servers.length, 2);
});

test('figures and health tell of them', async () => {
  const { body: figures } = await worker.api('GET', '/metrics');
  assert.match(figures, /^mayfly_provider_up\{provider="hetzner"\} 1$/m);
  const counts = [...figures.matchAll(/^mayfly_vms\{.*\} (\d+)$/gm)].map(([, count]) => Number(count));
  assert.equal(counts.reduce((sum, it) => sum + it, 0), 2);
  const { body: { providers: [health] } } = await worker.api('GET', '/health/providers');
  assert.deepEqual([health.ok, health.credential, health.error], [true, 'read_write', null]);
  assert.equal((await cloud.state()).ssh_keys.every((it) => it.name !== ''), true, 'the look for a right to write wrote nothing');
});

test('a token that may only read is told from one that is wrong', async () => {
  for (const [token, credential] of [[`read-only-${cloud.token}`, 'read_only'], ['wrong', 'refused']]) {
    const other = await startWorker({ vars: { ...cloud.vars, HETZNER_TOKEN: token } });
    try {
      const { body: { providers: [health] } } = await other.api('GET', '/health/providers');
      assert.deepEqual([health.ok, health.credential], [false, credential]);
    } finally {
      await other.close();
    }
  }
});

test('everything goes, and may be asked to go again', async () => {
  assert.equal((await worker.api('DELETE', '/vms')).status, 400);
  const { body } = await worker.api('DELETE', '/vms?confirm=all');
  assert.deepEqual([body.deleted.length, body.failed, body.remaining], [2, [], 0]);
  await until('the servers are gone', async () => (await cloud.state()).servers.length === 0);
  assert.equal((await worker.api('DELETE', '/vms?confirm=all')).body.detail, 'There is nothing of yours left.');
});

test('what the cron takes away is counted in the bucket, from run to run', async () => {
  const counted = async () => {
    const { body } = await worker.api('GET', '/metrics');
    return Object.fromEntries([...body.matchAll(/^mayfly_reaped_total\{kind="(\w+)"\} (\d+)$/gm)].map(([, kind, count]) => [kind, Number(count)]));
  };
  const before = await counted();
  // Addresses that the servers have left behind go first; what VMs shared a minute later.
  await until('something was taken away', async () => {
    assert.equal(await worker.cron(), 'ok');
    return (await counted()).leftover > before.leftover;
  }, { timeoutMs: 90_000, everyMs: 500 });
  const { vm, snapshot } = await counted();
  assert.deepEqual([vm, snapshot], [before.vm, before.snapshot]);
});

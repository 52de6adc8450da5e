/**
 * What Mayfly promises of every provider, through its API in the real runtime, before the fake cloud: the same cases for each.
 * The same promises are tested natively and finer before a scripted network (tests/contract). CONTRACT_PROVIDERS names those
 * to run, separated by commas; all without it.
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fakeProviders, FAKE_PROVIDERS } from '../run/fake-providers.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { VENDORS } from './support/vendors.mjs';
import { startWorker } from './support/worker.mjs';

const REPO = 'https://github.com/octocat/Hello-World';
const chosen = fakeProviders(process.env.CONTRACT_PROVIDERS || FAKE_PROVIDERS.join(','));

function assertProblem(answer, status, code) {
  assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body));
}

for (const provider of chosen) describe(provider, () => {
  const vendor = VENDORS[provider];
  let cloud;
  let worker;

  before(async () => {
    cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 50 });
    worker = await startWorker({ vars: cloud.varsOf([provider]) });
  });
  after(async () => {
    await worker?.close();
    await cloud?.close();
  });
  beforeEach(() => cloud.reset());

  const servers = async () => vendor.servers(await cloud.state());
  const create = (body = {}, headers = {}) => worker.api('POST', '/vms', { repo_url: REPO, ...body }, { headers });

  async function created(body, headers) {
    const answer = await create(body, headers);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.deepEqual(answer.body.warnings, []);
    return answer.body.vm.id;
  }

  const isReady = (id) =>
    until(`${id} is ready`, async () => (await worker.api('GET', `/vms/${id}`)).body.vm.services_ready);

  /** Every VM ended: nothing that costs anything, or belonged to one, is left once the reaper was there. */
  async function assertNothingLeft() {
    await until('the servers are gone', async () => (await servers()).length === 0);
    const report = await worker.api('POST', '/reap');
    assert.deepEqual([report.status, report.body.failed], [200, []], JSON.stringify(report.body));
    let left;
    await until('nothing is left', async () => {
      left = vendor.leftovers(await cloud.state());
      return left.length === 0;
    }).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(left)}`));
  }

  /** A creation that failed: not even what VMs share is left. */
  async function assertAsBefore() {
    await cloud.clearFaults();
    await until('what was begun is taken back', async () => {
      const state = await cloud.state();
      return [...vendor.leftovers(state).filter((it) => typeof it === 'object'), ...vendor.shared(state)].length === 0;
    });
  }

  test('a credential that is wrong, or may only read, is the provider’s refusal and not the caller’s', async () => {
    const wrong = await startWorker({ vars: cloud.varsOf([provider], '00000000-0000-4000-8000-00000000bad0') });
    const readOnly = await startWorker({ vars: cloud.varsOf([provider], `read-only-${cloud.token}`) });
    try {
      const listed = await wrong.api('GET', '/vms');
      assert.deepEqual([listed.status, listed.body.errors.map((it) => [it.provider, it.code])], [200, [[provider, 'provider_unauthorized']]]);
      const options = await wrong.api('GET', '/options');
      assert.deepEqual(options.body.errors.map((it) => [it.provider, it.code]), [[provider, 'provider_unauthorized']]);
      assertProblem(await wrong.api('POST', '/vms', { repo_url: REPO }), 502, 'provider_unauthorized');
      assert.deepEqual((await readOnly.api('GET', '/vms')).body.errors, []);
      assertProblem(await readOnly.api('POST', '/vms', { repo_url: REPO }), 502, 'provider_token_readonly');
    } finally {
      await Promise.all([wrong.close(), readOnly.close()]);
    }
    await assertAsBefore();
  });

  test('a VM is created, becomes ready, is deleted while it runs, and was deleted already', async () => {
    const id = await created();
    await isReady(id);
    const { body } = await worker.api('GET', `/vms/${id}`);
    assert.deepEqual([body.vm.provider, body.vm.state], [provider, 'running']);
    assert.match(body.vm.ipv4, /^[\d.]+$/);
    assert.ok(body.vm.cost.per_hour > 0);
    const deleted = await worker.api('DELETE', `/vms/${id}`);
    assert.deepEqual([deleted.status, deleted.body.deleted], [200, true], JSON.stringify(deleted.body));
    await assertNothingLeft();
    const again = await worker.api('DELETE', `/vms/${id}`);
    assert.deepEqual([again.status, again.body.already_gone], [200, true], JSON.stringify(again.body));
    assertProblem(await worker.api('GET', `/vms/${id}`), 404, 'vm_not_found');
  });

  test('a VM that nobody uses deletes itself', async () => {
    const id = await created();
    await isReady(id);
    await cloud.guest((await cloud.state()).guests.at(-1).server, { idle: true });
    await assertNothingLeft();
    assertProblem(await worker.api('GET', `/vms/${id}`), 404, 'vm_not_found');
  });

  test('a VM with a credential of its own ends itself at the provider', async () => {
    const credential = vendor.vmCredentials?.(cloud.token) ?? { [vendor.vmCredential]: cloud.token };
    const its = await startWorker({ vars: { ...cloud.varsOf([provider]), ...credential } });
    try {
      const made = await its.api('POST', '/vms', { repo_url: REPO });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      await until('it is ready', async () => (await its.api('GET', `/vms/${made.body.vm.id}`)).body.vm.services_ready);
      const { server } = (await cloud.state()).guests.at(-1);
      await cloud.guest(server, { idle: true });
      await until('it is gone', async () => (await servers()).length === 0);
      const guest = (await cloud.state()).guests.find((it) => it.server === server);
      assert.deepEqual([guest.self_delete, guest.delete_attempts, guest.last_error], ['provider', 1, null]);
    } finally {
      await its.close();
    }
    await assertNothingLeft();
  });

  test('one that somebody else deleted is gone without an error', async () => {
    const id = await created();
    await isReady(id);
    const { id: native } = (await servers())[0];
    assert.ok(id.endsWith(String(native)), `${id} names ${native}`);
    await vendor.destroy(cloud, native);
    await until('it is gone', async () => (await servers()).length === 0);
    const deleted = await worker.api('DELETE', `/vms/${id}`);
    assert.deepEqual([deleted.status, deleted.body.already_gone], [200, true], JSON.stringify(deleted.body));
    await assertNothingLeft();
  });

  /** Waits for what the API shows of a VM. */
  const reaches = (id, what, is) => until(`${id} is ${what}`, async () => {
    const { body: { vm } } = await worker.api('GET', `/vms/${id}`);
    return is(vm) && vm;
  }, { timeoutMs: 30_000 });

  async function stopped(id) {
    const answer = await worker.api('POST', `/vms/${id}/stop`);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return reaches(id, 'stopped', (vm) => vm.state === 'stopped');
  }

  test('a VM is stopped, started again, and deleted while it is stopped', async () => {
    await cloud.config({ heartbeat_max_ms: 300 });
    const id = await created();
    await isReady(id);
    const off = await stopped(id);
    const started = await worker.api('POST', `/vms/${id}/start`);
    assert.deepEqual([started.status, started.body.vm.phase], [202, 'booting'], JSON.stringify(started.body));
    const on = await reaches(id, 'ready again', (vm) => vm.services_ready && vm.state === 'running');
    assert.equal(on.created_at, off.created_at);
    assert.match(on.ipv4, /^[\d.]+$/);
    await stopped(id);
    const deleted = await worker.api('DELETE', `/vms/${id}`);
    assert.deepEqual([deleted.status, deleted.body.already_gone], [200, false], JSON.stringify(deleted.body));
    await assertNothingLeft();
  });

  test('a disk is kept as a snapshot, once, and another VM begins with it', async () => {
    await cloud.config({ heartbeat_max_ms: 300 });
    const id = await created();
    await isReady(id);
    const asked = await worker.api('POST', `/vms/${id}/snapshots`, { description: 'a good state' });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    const list = async () => {
      const { body } = await worker.api('GET', '/snapshots');
      assert.deepEqual(body.errors, []);
      return body.snapshots;
    };
    const [kept] = await until('a snapshot', async () => {
      const found = await list();
      return found[0]?.is_ready && found;
    }, { timeoutMs: 30_000 });
    assert.deepEqual([kept.is_clean, kept.repo_url, kept.owner], [true, REPO, 'default']);
    const { body: { vm } } = await worker.api('GET', `/vms/${id}`);
    assert.ok(['a good state', ...(vendor.noteMayNotFit ? [vm.name] : [])].includes(kept.description), kept.description);
    assert.ok(kept.size_gb > 0 && kept.monthly_price.amount > 0, JSON.stringify(kept));
    await reaches(id, 'free to go on', (vm) => vm.want === null);
    assert.equal((await list()).length, 1, 'it was taken once');

    const second = await created({ snapshot_id: kept.id });
    const made = (await servers()).find((it) => vendor.idOf(it.id, it.zone) === second);
    const holds = (value) => vendor.idOf(value, made.zone) === kept.id || Object.values(Object(value)).some((it) => typeof value === 'object' && holds(it));
    assert.ok(holds(made), `${JSON.stringify(made)} is made from ${kept.id}`);
    await isReady(second);
    for (const it of [id, second]) assert.equal((await worker.api('DELETE', `/vms/${it}`)).status, 200);
    await until('the servers are gone', async () => (await servers()).length === 0);
    for (const isGone of [false, true]) {
      const answer = await worker.api('DELETE', `/snapshots/${kept.id}`);
      assert.deepEqual([answer.status, answer.body.already_gone], [200, isGone], JSON.stringify(answer.body));
    }
    await assertNothingLeft();
  });

  test('the same key makes one VM, one after the other and at the same moment', async () => {
    const headers = { 'idempotency-key': 'twice' };
    const id = await created({}, headers);
    const again = await create({}, headers);
    assert.deepEqual([again.status, again.body.vm.id, again.headers.get('idempotent-replayed')], [200, id, 'true']);
    assertProblem(await create({ branch: 'other' }, headers), 422, 'idempotency_key_reused');
    const answers = await Promise.all([1, 2, 3].map(() => create({}, { 'idempotency-key': 'thrice' })));
    const ids = new Set(answers.map((it) => it.body.vm?.id));
    assert.equal(ids.size, 1, JSON.stringify(answers.map((it) => it.body)));
    await until('the younger ones are gone', async () => (await servers()).length === 2);
    for (const it of [id, ...ids]) await until(`${it} is deleted`, async () => (await worker.api('DELETE', `/vms/${it}`)).status === 200);
    await assertNothingLeft();
  });

  test('ours are listed from between foreign ones, over several pages, and foreign ones are never touched', async () => {
    const ours = [];
    const foreign = [];
    for (let round = 0; round < 3; round += 1) {
      foreign.push(await vendor.foreign(cloud, `foreign-${round}`));
      ours.push(await created());
    }
    const added = (await vendor.crowd?.(cloud)) ?? 0;
    if (vendor.smallPages) await cloud.config(vendor.smallPages);
    const before = (await cloud.requests()).length;
    const listed = await worker.api('GET', '/vms');
    assert.deepEqual(listed.body.errors, []);
    assert.equal(listed.body.vms.length, ours.length + added);
    const shown = new Set(listed.body.vms.map((it) => it.id));
    assert.ok(ours.every((it) => shown.has(it)), 'every one of ours is shown');
    const asked = (await cloud.requests()).slice(before).map((it) => it.query ?? '');
    const turned = asked.some((query) => /(^|&)page=2(&|$)/.test(query));
    assert.equal(turned, Boolean(vendor.smallPages), 'a second page was asked for where there are pages');
    for (const id of foreign) {
      assert.ok(!shown.has(vendor.idOf(id)));
      assertProblem(await worker.api('DELETE', `/vms/${vendor.idOf(id)}`), 404, 'vm_not_found');
    }
    const left = new Set((await servers()).map((it) => it.id));
    assert.ok(foreign.every((id) => left.has(id)), 'the foreign ones are still there');
  });

  test('capacity that is refused in one place is found in another, and every attempt is told', async () => {
    const first = await create();
    const { server_type: type, location } = first.body.attempts[0];
    await cloud.config({ capacity: { [type]: { [location]: 'hidden' } } });
    const second = await create();
    assert.equal(second.status, 201, JSON.stringify(second.body));
    const told = second.body.attempts.map((it) => [it.server_type, it.location, it.outcome]);
    assert.deepEqual(told[0], [type, location, 'provider_capacity']);
    assert.deepEqual(told.map((it) => it[2]).slice(-1), ['created']);
    const where = second.body.attempts.at(-1);
    assert.deepEqual([second.body.vm.server_type, second.body.vm.location], [where.server_type, where.location]);
  });

  test('a quota that is used up is said, and nothing is left', async () => {
    await cloud.config({ server_limit: 0 });
    assertProblem(await create(), 503, 'provider_quota');
    await assertAsBefore();
  });

  test('a rate limit is handed on with its wait', async () => {
    await cloud.config({ rate_limit: 0 });
    const answer = await create();
    assertProblem(answer, 503, 'provider_rate_limited');
    assert.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
    await cloud.config({ rate_limit: 3600 });
    await assertAsBefore();
  });

  for (const [what, fault, status, code] of [
    ['a 5xx', { status: 503, code: 'unavailable' }, 502, 'provider_unavailable'],
    ['a proxy’s page', { status: 500, body: '<html>Bad gateway of a proxy</html>' }, 502, 'provider_unavailable'],
    ['half a JSON', { status: 200, body: '{"server": {"id": 1' }, 502, 'provider_malformed'],
    ['a connection that breaks', { drop: 'before' }, 502, 'provider_unavailable'],
  ]) {
    test(`a creation that is answered with ${what} leaves nothing behind`, async () => {
      await cloud.fault({ ...vendor.creation, times: null, ...fault });
      const answer = await create();
      assertProblem(answer, status, code);
      assert.ok(!JSON.stringify(answer.body).includes('proxy'), 'a raw body does not leave');
      await assertAsBefore();
    });

    test(`a list that is answered with ${what} is an error beside the list`, async () => {
      await cloud.fault({ ...vendor.list, times: null, ...fault });
      const answer = await worker.api('GET', '/vms');
      assert.deepEqual([answer.status, answer.body.errors.map((it) => it.code)], [200, [code]]);
      await cloud.clearFaults();
      assert.deepEqual((await worker.api('GET', '/vms')).body.errors, []);
    });
  }

  test('a provider that says nothing is given up after ten seconds', async () => {
    await cloud.fault({ ...vendor.list, times: null, delay_ms: 60_000 });
    const since = Date.now();
    const answer = await worker.api('GET', '/vms');
    assert.deepEqual(answer.body.errors.map((it) => it.code), ['provider_timed_out']);
    assert.ok(Date.now() - since < 20_000);
  });

  test('a creation that fails half-way takes back what it made', async () => {
    await cloud.fault({ ...vendor.halfway, times: null });
    const answer = await create();
    assert.equal(answer.status, 502, JSON.stringify(answer.body));
    assert.ok(vendor.madeBefore(await cloud.requests()), 'something had been made');
    await assertAsBefore();
  });

  test('a creation whose answer was lost finds its server', async () => {
    await cloud.fault({ ...vendor.creation, times: 1, drop: 'after' });
    const answer = await create();
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.deepEqual(answer.body.attempts.map((it) => it.outcome), ['adopted']);
    assert.deepEqual((await servers()).map((it) => vendor.idOf(it.id, it.zone)), [answer.body.vm.id]);
    await isReady(answer.body.vm.id);
    assert.equal((await worker.api('DELETE', `/vms/${answer.body.vm.id}`)).status, 200);
    await assertNothingLeft();
  });
});

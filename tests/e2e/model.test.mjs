// Random histories in the real runtime: three people in two deployments on one account of the fake cloud, faults, two calls at once, and
// Workers that are killed in the middle of a call; each history at the provider of its turn. Clocks that jump, and thousands of
// histories, are tests/model.rs's.
// MODEL_WORKERD_HISTORIES says how many, MODEL_SEED where they begin; a failure names its seed and tells its story.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { FAKE_PROVIDERS } from '../run/fake-providers.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { VENDORS } from './support/vendors.mjs';
import { startWorker } from './support/worker.mjs';

const FIRST = Number(process.env.MODEL_SEED ?? 1);
const HISTORIES = Number(process.env.MODEL_WORKERD_HISTORIES ?? 4);
const STEPS = 25;
const REPO = 'https://github.com/octocat/Hello-World';
const OWNERS = ['ann', 'ben', 'eve'];
const DEPLOYMENTS = ['one', 'two'];
/** Servers of others: one as the provider's tests have it, one that another tool made and that names our deployment, and one
 * of a third deployment that is past its end. */
const STRANGERS = {
  prod: undefined,
  db: { 'managed-by': 'terraform', 'mayfly-deployment': 'one', 'mayfly-vm': 'abcdefghijklmnopqrstuvwxyz' },
  mail: { 'managed-by': 'mayfly', 'mayfly-deployment': 'third', 'mayfly-vm': 'bcdefghijklmnopqrstuvwxyza', 'mayfly-owner': 'ann', 'mayfly-expires': '1' },
};
/** Whoever looks after a deployment: sees what everybody has. */
const ADMIN = 'root';

/** What may go wrong with a provider's requests, once each. */
function faultsOf({ creation, list, change, deletion, others = [] }) {
  return [
    { ...creation, drop: 'after' },
    { ...creation, drop: 'before' },
    { ...creation, status: 503, code: 'unavailable' },
    { ...creation, status: 503, code: 'unavailable', acts: true },
    { ...creation, status: 429, code: 'rate_limit_exceeded' },
    { ...list, status: 500, code: 'server_error' },
    { ...list, drop: 'before' },
    { ...change, status: 423, code: 'locked' },
    { ...change, drop: 'after' },
    { ...deletion, status: 423, code: 'locked' },
    { ...deletion, status: 500, code: 'server_error' },
    { ...deletion, drop: 'after' },
    { ...deletion, drop: 'before' },
    ...others,
  ];
}

/** Chance that can be repeated (mulberry32). */
function chance(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (end) => next() % end;
  return { below, pick: (from) => from[below(from.length)] };
}

const tokenOf = (deployment, owner) => `token-of-${owner}-in-${deployment}-0123456789`;

/** A Worker that can be killed and comes back at the same address, as VMs and people know it. */
async function lasting(vars) {
  let worker = await startWorker({ vars });
  const sockets = new Set();
  const front = createServer((socket) => {
    const behind = connect(Number(new URL(worker.url).port), '127.0.0.1');
    for (const it of [socket, behind]) {
      sockets.add(it);
      it.on('error', () => {}).on('close', () => {
        sockets.delete(it);
        socket.destroy();
        behind.destroy();
      });
    }
    socket.pipe(behind).pipe(socket);
  });
  await new Promise((done) => front.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${front.address().port}`;
  return {
    url,
    cron: () => worker.cron(),
    async restart() {
      await worker.close();
      worker = await startWorker({ vars });
    },
    async close() {
      front.close();
      for (const it of sockets) it.destroy();
      await worker.close();
    },
  };
}

/** A Worker of a deployment at a provider. */
function workerOf(cloud, provider, deployment) {
  const sha256 = (token) => createHash('sha256').update(token).digest('hex');
  const people = OWNERS.map((owner) => [owner, sha256(tokenOf(deployment, owner))]);
  people.push([ADMIN, { sha256: sha256(tokenOf(deployment, ADMIN)), admin: true }]);
  const API_TOKENS = JSON.stringify(Object.fromEntries(people));
  return lasting({ ...cloud.varsOf([provider]), API_TOKEN: undefined, DEPLOYMENT: deployment, API_TOKENS });
}

describe('histories in workerd', () => {
  let cloud;

  before(async () => {
    cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 20 });
  });
  after(() => cloud?.close());

  for (let seed = FIRST; seed < FIRST + HISTORIES; seed++) {
    const provider = FAKE_PROVIDERS[seed % FAKE_PROVIDERS.length];
    test(`seed ${seed}, at ${provider}`, async (t) => {
      await cloud.reset();
      await cloud.config({ ip_release_ms: 100, heartbeat_max_ms: 300 });
      const workers = await Promise.all(DEPLOYMENTS.map((it) => workerOf(cloud, provider, it)));
      t.after(() => Promise.all(workers.map((it) => it.close())));
      const history = new History(seed, cloud, workers, VENDORS[provider]);
      try {
        await history.play();
      } catch (error) {
        process.stderr.write(`${history.story.join('\n')}\n`);
        error.message += `\nreplay: npm run test:model -- --histories 1 --seed ${seed}`;
        throw error;
      }
    });
  }
});

class History {
  constructor(seed, cloud, workers, vendor) {
    Object.assign(this, { chance: chance(seed), cloud, workers, vendor, faults: faultsOf(vendor), story: [], fates: new Map(), made: new Map() });
  }

  async play() {
    const foreign = await this.furnish();
    for (let step = 0; step < STEPS; step++) await this.step();
    await this.cloud.clearFaults();
    for (const worker of this.workers) assert.equal(await worker.cron(), 'ok');
    await this.checkWishes();
    await this.clear();
    assert.deepEqual(await this.strangers(), foreign, 'somebody else’s things were touched');
  }

  /** What others have in the account, as like ours as can be. */
  async furnish() {
    this.foreign = [];
    for (const [name, labels] of Object.entries(STRANGERS)) this.foreign.push(await this.vendor.foreign(this.cloud, name, labels));
    let before;
    await until('they are as they will be', async () => {
      const now = await this.strangers();
      const isStill = before === JSON.stringify(now);
      before = JSON.stringify(now);
      return isStill && !now.some((it) => /^(new|initializing|starting|build)$/i.test(it.state ?? it.status));
    });
    this.furniture = this.vendor.leftovers(await this.cloud.state()).length;
    return this.strangers();
  }

  async strangers() {
    const all = this.vendor.servers(await this.cloud.state()).filter((it) => this.foreign.includes(it.id));
    return all.map(({ id, name, labels, tags, status, state }) => ({ id, name, labels, tags, status, state }));
  }

  /** Servers at the provider that are not somebody else's. */
  async ours() {
    return this.vendor.servers(await this.cloud.state()).filter((it) => !this.foreign.includes(it.id));
  }

  /** What the deployments know of, as whoever looks after them sees it; nothing of one whose list fails just now. */
  async known() {
    const lists = await Promise.all(this.workers.map(async (worker, at) => {
      const headers = { authorization: `Bearer ${tokenOf(DEPLOYMENTS[at], ADMIN)}` };
      const { vms, errors } = await (await fetch(`${worker.url}/vms`, { headers })).json();
      return errors.length > 0 ? [] : vms.map((it) => ({ ...it, at }));
    }));
    return lists.flat();
  }

  async step() {
    const who = { at: this.chance.below(2), owner: this.chance.pick(OWNERS) };
    if (this.chance.below(3) === 0) await this.cloud.fault({ ...this.chance.pick(this.faults), times: 1 });
    switch (this.chance.below(10)) {
      case 0: case 1: case 2: return this.create(who);
      case 3: return this.twice(who);
      case 4: return this.killed(who);
      case 5: return this.delete(who);
      case 6: return this.onOwn(who, this.chance.pick(['stop', 'start', 'snapshots']), {});
      case 7: return this.onOwn(who, 'extend', { minutes: 1 + this.chance.below(300) });
      case 8: return this.cron(who);
      default: return this.look(who);
    }
  }

  async call(who, method, path, body, key) {
    const headers = { authorization: `Bearer ${tokenOf(DEPLOYMENTS[who.at], who.owner)}`, 'content-type': 'application/json' };
    if (key) headers['idempotency-key'] = key;
    let answer;
    try {
      const response = await fetch(this.workers[who.at].url + path, { method, headers, body: body && JSON.stringify(body) });
      answer = { status: response.status, body: await response.json() };
    } catch {
      answer = undefined; // killed
    }
    this.story.push(`${DEPLOYMENTS[who.at]} ${who.owner}: ${method} ${path} ${key ?? ''} -> ${answer ? `${answer.status} ${answer.body.code ?? answer.body.vm?.id ?? ''}` : 'died'}`);
    if (answer) assert.notEqual(answer.status, 500, JSON.stringify(answer.body));
    return answer;
  }

  async create(who, key = this.chance.below(2) === 0 ? `key-${this.chance.below(3)}` : undefined) {
    const answer = await this.call(who, 'POST', '/vms', { repo_url: REPO, max_hours: 3 + who.owner.length }, key);
    this.note(who, answer, key);
    return answer;
  }

  note(who, answer, key) {
    if (!answer || ![200, 201].includes(answer.status)) return;
    const { id, owner } = answer.body.vm;
    assert.equal(owner, who.owner);
    if (key) {
      const name = `${who.at} ${who.owner} ${key}`;
      const before = this.made.get(name);
      if (before && this.fates.get(before) === 'wanted') assert.equal(id, before, 'one key made two VMs');
      this.made.set(name, id);
    }
    if (!this.fates.has(id)) this.fates.set(id, 'wanted');
  }

  /** The same key twice at the same moment: one VM, whoever answers. */
  async twice(who) {
    const key = `key-${this.chance.below(3)}`;
    const both = await Promise.all([this.call(who, 'POST', '/vms', { repo_url: REPO, max_hours: 3 }, key),
      this.call(who, 'POST', '/vms', { repo_url: REPO, max_hours: 3 }, key)]);
    const ids = new Set(both.filter((it) => it && it.status < 300).map((it) => it.body.vm.id));
    assert.ok(ids.size <= 1, `two VMs: ${[...ids].join(', ')}`);
    for (const answer of both) this.note(who, answer, key);
  }

  /** The Worker is killed while it creates; the same request again has one VM. */
  async killed(who) {
    const key = `key-${this.chance.below(3)}`;
    const pause = this.chance.below(60);
    const call = this.call(who, 'POST', '/vms', { repo_url: REPO, max_hours: 3 }, key);
    await new Promise((go) => setTimeout(go, pause));
    await this.workers[who.at].restart();
    this.note(who, await call, key);
    const answer = await this.call(who, 'POST', '/vms', { repo_url: REPO, max_hours: 3 }, key);
    this.note(who, answer, key);
  }

  /** One of their own, or now and then any. */
  async anId(who) {
    const all = await this.known();
    const own = all.filter((it) => isOf(it, who));
    const from = own.length === 0 || this.chance.below(6) === 0 ? all : own;
    if (from.length === 0) return undefined;
    const vm = this.chance.pick(from);
    return { id: vm.id, isOwn: isOf(vm, who) };
  }

  async delete(who) {
    const chosen = await this.anId(who);
    if (!chosen) return;
    const answer = await this.call(who, 'DELETE', `/vms/${chosen.id}`);
    if (!chosen.isOwn) return assert.ok(answer.status >= 400, 'somebody else’s VM was deleted');
    this.fates.set(chosen.id, answer?.status === 200 ? 'gone' : 'open');
  }

  async onOwn(who, action, body) {
    const chosen = await this.anId(who);
    if (!chosen) return;
    const answer = await this.call(who, 'POST', `/vms/${chosen.id}/${action}`, body);
    if (!chosen.isOwn) assert.ok(answer.status >= 400, 'somebody else’s VM was touched');
  }

  async cron(who) {
    this.story.push(`${DEPLOYMENTS[who.at]}: cron`);
    assert.equal(await this.workers[who.at].cron(), 'ok');
  }

  async look(who) {
    const answer = await this.call(who, 'GET', '/vms');
    if (answer?.status === 200) for (const vm of answer.body.vms) assert.equal(vm.owner, who.owner);
  }

  async checkWishes() {
    let known;
    await until('what was said to be gone is gone, and all else is known', async () => {
      known = await this.known();
      const ids = known.map((it) => it.id);
      return (await this.ours()).length === ids.length && [...this.fates].every(([id, fate]) => fate !== 'gone' || !ids.includes(id));
    });
    const ids = known.map((it) => it.id);
    for (const [id, fate] of this.fates) if (fate === 'wanted') assert.ok(ids.includes(id), `${id} is wanted and gone`);
    for (const { owner, expires_at: end } of known) {
      assert.ok(OWNERS.includes(owner), 'a VM that is nobody’s');
      assert.ok(Date.parse(end) > Date.now());
    }
  }

  /** Everybody deletes all that is theirs, and the account is as it was before us. */
  async clear() {
    for (const at of [0, 1]) for (const owner of OWNERS) {
      await until(`${owner} has nothing left`, async () =>
        (await this.call({ at, owner }, 'DELETE', '/vms?confirm=all'))?.body.detail === 'There is nothing of yours left.');
    }
    let left;
    await until('nothing of ours is left', async () => {
      for (const worker of this.workers) await worker.cron();
      left = (await this.ours()).length + (this.vendor.leftovers(await this.cloud.state()).length - this.furniture);
      return left === 0;
    }).catch((error) => assert.fail(`${error.message}: ${left}`));
  }
}

function isOf({ at, owner }, who) {
  return at === who.at && owner === who.owner;
}

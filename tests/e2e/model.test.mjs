// Random histories in the real runtime: three people in two deployments on one account of the fake cloud, faults, two calls at once, and
// Workers that are killed in the middle of a call. Clocks that jump, and thousands of them, are tests/model.rs's.
// MODEL_WORKERD_HISTORIES says how many, MODEL_SEED where they begin; a failure names its seed and tells its story.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const FIRST = Number(process.env.MODEL_SEED ?? 1);
const HISTORIES = Number(process.env.MODEL_WORKERD_HISTORIES ?? 4);
const STEPS = 25;
const REPO = 'https://github.com/octocat/Hello-World';
const OWNERS = ['ann', 'ben', 'eve'];
const DEPLOYMENTS = ['one', 'two'];
const FAULTS = [
  { method: 'POST', path: '/servers', drop: 'after' },
  { method: 'POST', path: '/servers', drop: 'before' },
  { method: 'POST', path: '/servers', status: 503, code: 'unavailable' },
  { method: 'POST', path: '/servers', status: 503, code: 'unavailable', acts: true },
  { method: 'POST', path: '/servers', status: 429, code: 'rate_limit_exceeded' },
  { method: 'POST', path: '/ssh_keys', status: 409, code: 'conflict' },
  { method: 'GET', path: '/servers', status: 500, code: 'server_error' },
  { method: 'GET', path: '/servers', drop: 'before' },
  { method: 'PUT', path: '/servers/{id}', status: 423, code: 'locked' },
  { method: 'DELETE', path: '/servers/{id}', status: 423, code: 'locked' },
  { method: 'DELETE', path: '/servers/{id}', status: 500, code: 'server_error' },
  { method: 'DELETE', path: '/servers/{id}', drop: 'after' },
  { method: 'DELETE', path: '/servers/{id}', drop: 'before' },
];

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

describe('histories in workerd', () => {
  let cloud;
  let workers;

  before(async () => {
    cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 20 });
    workers = await Promise.all(DEPLOYMENTS.map((deployment) => {
      const digests = OWNERS.map((owner) => [owner, createHash('sha256').update(tokenOf(deployment, owner)).digest('hex')]);
      return lasting({ ...cloud.vars, API_TOKEN: undefined, DEPLOYMENT: deployment, API_TOKENS: JSON.stringify(Object.fromEntries(digests)) });
    }));
  });
  after(async () => {
    await Promise.all((workers ?? []).map((it) => it.close()));
    await cloud?.close();
  });

  for (let seed = FIRST; seed < FIRST + HISTORIES; seed++) {
    test(`seed ${seed}`, async () => {
      await cloud.reset();
      await cloud.config({ ip_release_ms: 100, heartbeat_max_ms: 300 });
      const history = new History(seed, cloud, workers);
      try {
        await history.play();
      } catch (error) {
        error.message += `\nreplay: npm run test:model -- --histories 1 --seed ${seed}\n${history.story.join('\n')}`;
        throw error;
      }
    });
  }
});

class History {
  constructor(seed, cloud, workers) {
    Object.assign(this, { chance: chance(seed), cloud, workers, story: [], fates: new Map(), made: new Map() });
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
    const labels = [{}, { 'managed-by': 'terraform', 'mayfly-deployment': 'one', 'mayfly-vm': 'abcdefghijklmnopqrstuvwxyz' },
      { 'managed-by': 'mayfly', 'mayfly-deployment': 'third', 'mayfly-owner': 'ann', 'mayfly-expires': '1' }];
    for (const [at, its] of labels.entries()) {
      const response = await fetch(`${this.cloud.apiUrl}/servers`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.cloud.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: `foreign-${at}`, server_type: 'cx23', image: 'debian-13', location: 'fsn1', labels: its }),
      });
      assert.equal(response.status, 201, await response.text());
    }
    await until('they run', async () => (await this.cloud.state()).servers.every((it) => it.status === 'running'));
    return this.strangers();
  }

  async strangers() {
    const { servers } = await this.cloud.state();
    return servers.filter((it) => !deploymentOf(it)).map(({ id, name, labels, status }) => ({ id, name, labels, status }));
  }

  async ours() {
    return (await this.cloud.state()).servers.filter(deploymentOf);
  }

  async step() {
    const who = { at: this.chance.below(2), owner: this.chance.pick(OWNERS) };
    if (this.chance.below(3) === 0) await this.cloud.fault({ ...this.chance.pick(FAULTS), times: 1 });
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
    const all = await this.ours();
    const own = all.filter((it) => isOf(it, who));
    const from = own.length === 0 || this.chance.below(6) === 0 ? all : own;
    if (from.length === 0) return undefined;
    const server = this.chance.pick(from);
    return { id: `hetzner-${server.id}`, isOwn: isOf(server, who) };
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
    await until('what was said to be gone is gone', async () => {
      const ids = (await this.ours()).map((it) => `hetzner-${it.id}`);
      return [...this.fates].every(([id, fate]) => fate !== 'gone' || !ids.includes(id));
    });
    const servers = await this.ours();
    const ids = servers.map((it) => `hetzner-${it.id}`);
    for (const [id, fate] of this.fates) if (fate === 'wanted') assert.ok(ids.includes(id), `${id} is wanted and gone`);
    for (const { labels } of servers) {
      assert.ok(labels['mayfly-vm'] && labels['mayfly-owner'], 'a VM that nobody finds');
      assert.ok(Number(labels['mayfly-expires']) * 1000 > Date.now());
    }
  }

  /** Everybody deletes all that is theirs, and the account is as it was before us. */
  async clear() {
    for (const at of [0, 1]) for (const owner of OWNERS) {
      await until(`${owner} has nothing left`, async () =>
        (await this.call({ at, owner }, 'DELETE', '/vms?confirm=all'))?.body.detail === 'There is nothing of yours left.');
    }
    await until('no server and no address of ours is left', async () => {
      for (const worker of this.workers) await worker.cron();
      const state = await this.cloud.state();
      return !state.servers.some(deploymentOf) && !state.primary_ips.some(deploymentOf);
    });
  }
}

function deploymentOf({ labels }) {
  return labels?.['managed-by'] === 'mayfly' && DEPLOYMENTS.includes(labels['mayfly-deployment']);
}

function isOf({ labels }, who) {
  return labels['mayfly-deployment'] === DEPLOYMENTS[who.at] && labels['mayfly-owner'] === who.owner;
}

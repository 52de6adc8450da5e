// Events as a program outside hears them: the Worker in the real runtime, simulated guests, and a receiver that checks signatures and
// is not always well. What is an event is tested natively (tests/api/webhook.rs).
import assert from 'node:assert/strict';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
const PATH = '/hooks/secret-in-the-path?key=secret-in-the-query';
let cloud;
let worker;
let receiver;
/** Every try, with whether its signature held. */
let tries = [];
/** What the receiver answers next; 200 when there is nothing left. `never` does not answer. */
let answers = [];

before(async () => {
  receiver = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers;
    const right = createHmac('sha256', KEY).update(`${id}.${at}.`).update(body).digest();
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64');
    const isRight = given.length === right.length && timingSafeEqual(given, right);
    tries.push({ id, at: Number(at), url: request.url, isRight, ...JSON.parse(body) });
    const status = answers.shift() ?? 200;
    if (status !== 'never') response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
  });
  await new Promise((done) => receiver.listen(0, '127.0.0.1', done));
  cloud = await startFakeCloud({ bootSeconds: 1, actionMs: 20 });
  await cloud.config({ heartbeat_max_ms: 300 });
  const vars = { WEBHOOK_URL: `http://127.0.0.1:${receiver.address().port}${PATH}`, WEBHOOK_SECRET: `whsec_${KEY.toString('base64')}` };
  worker = await startWorker({ vars: { ...cloud.vars, ...vars } });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  receiver?.closeAllConnections();
  receiver?.close();
});
beforeEach(() => {
  tries = [];
  answers = [];
});

const heard = (type) => until(type, () => tries.find((it) => it.type === type));

async function created() {
  const { status, body } = await worker.api('POST', '/vms', { repo_url: 'https://github.com/octocat/Hello-World' });
  assert.equal(status, 201);
  return body.vm;
}

test('a VM’s life is told: created, ready, the agent waits, deleted', async () => {
  const vm = await created();
  const first = await heard('vm.created');
  assert.deepEqual(first.data, {
    id: vm.id, name: vm.name, provider: 'hetzner', owner: 'default', repo_url: 'https://github.com/octocat/Hello-World', detail: 'medium',
  });
  assert.ok(Math.abs(Date.parse(first.timestamp) - Date.now()) < 60_000 && Math.abs(first.at * 1000 - Date.now()) < 60_000);
  await heard('vm.ready');
  await cloud.guest((await cloud.state()).guests.at(-1).server, { attention: 'waiting' });
  await heard('vm.attention');
  await worker.api('DELETE', `/vms/${vm.id}`);
  await heard('vm.deleted');
  assert.ok(tries.every((it) => it.isRight), 'every signature holds');
  assert.equal(new Set(tries.map((it) => it.id)).size, tries.length, 'every event has an id of its own');
  assert.ok(tries.every((it) => it.url === PATH));
});

test('who is not well is asked again, with the same id; who refuses is not', async () => {
  answers = [503, 'never', 200];
  const began = Date.now();
  const vm = await created();
  assert.ok(Date.now() - began < 5_000, 'nobody waits for the receiver');
  await until('three tries', () => tries.filter((it) => it.type === 'vm.created').length === 3);
  const [one, two, three] = tries.filter((it) => it.type === 'vm.created');
  assert.deepEqual([two.id, three.id], [one.id, one.id]);
  assert.ok(three.at > one.at, 'a try is signed at its own time');
  await heard('vm.ready');

  tries = [];
  answers = [302];
  assert.equal((await worker.api('DELETE', `/vms/${vm.id}`)).status, 200);
  const lines = () => worker.logs().map((it) => it.message).filter((it) => it.includes('webhook_failed'));
  await until('the log says so', () => lines().some((it) => it.includes('status 302, not tried again')));
  assert.equal(tries.length, 1, 'and no redirect is followed');
  assert.ok(!worker.logs().some((it) => it.message.includes('secret-in-the')), 'its address is in no log');
});

test('what cannot be deleted is told, and told again by the cron', async () => {
  const vm = await created();
  // Until then its own reports write labels, too, at the moment as often as nowhere else.
  await heard('vm.ready');
  await cloud.fault({ method: 'DELETE', path: '/servers/{id}', status: 423, code: 'locked', times: null });
  assert.equal((await worker.api('DELETE', `/vms/${vm.id}`)).status, 409);
  await heard('vm.delete_failed');
  tries = [];
  assert.equal(await worker.cron(), 'ok');
  await heard('vm.delete_failed');
  await cloud.clearFaults();
  assert.equal(await worker.cron(), 'ok');
  assert.equal((await heard('vm.deleted')).data.id, vm.id);
});

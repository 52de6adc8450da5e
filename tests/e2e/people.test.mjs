// Several people in one deployment, in the real runtime: for every route that takes a token, what somebody else's VM, snapshot
// and leftovers are to a stranger (nothing), to their owner and to an admin. Details are tested natively (tests/api).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const REPO = 'https://github.com/octocat/Hello-World';
const TOKENS = { ann: 'a-token-of-ann-0123456789', bob: 'a-token-of-bob-0123456789', root: 'a-token-of-root-012345678' };
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

let cloud;
let worker;
let vm;
let late;
let snapshot;

const as = (who) => (method, path, body) => worker.api(method, path, body, { token: TOKENS[who] });
const [ann, bob, root] = ['ann', 'bob', 'root'].map(as);

before(async () => {
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  const people = { ann: sha256(TOKENS.ann), bob: { sha256: sha256(TOKENS.bob), max_vms: 1 }, root: { sha256: sha256(TOKENS.root), admin: true } };
  const vars = { ...cloud.vars, API_TOKEN: undefined, API_TOKENS: JSON.stringify(people), BACKUP_KEY: 'a-backup-key-for-tests-0123456789' };
  worker = await startWorker({ vars, bucket: true });
  await stage();
});
after(async () => {
  await worker?.close();
  await cloud?.close();
});

/** Ann has a VM, one that is past its end, and a snapshot. */
async function stage() {
  vm = (await ann('POST', '/vms', { repo_url: REPO })).body.vm;
  late = (await ann('POST', '/vms', { repo_url: REPO })).body.vm;
  await expire(late.id);
  snapshot = (await ann('POST', `/vms/${vm.id}/snapshots`)).body.snapshot;
  assert.equal(snapshot.owner, 'ann');
  await until('the snapshot is complete', async () => (await ann('GET', '/snapshots')).body.snapshots.every((it) => it.is_ready));
}

/** As somebody with the project's token could, too. */
async function expire(id) {
  const url = `${cloud.apiUrl}/servers/${id.replace('hetzner-', '')}`;
  const headers = { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json' };
  const { server } = await (await fetch(url, { headers })).json();
  const labels = { ...server.labels, 'mayfly-expires': '1' };
  const changed = await fetch(url, { method: 'PUT', headers, body: JSON.stringify({ labels }) });
  assert.equal(changed.status, 200);
}

/** What is Ann's at the provider, label by label. */
async function anns() {
  const state = await cloud.state();
  const of = (list) => list.filter((it) => it.labels?.['mayfly-owner'] === 'ann').map((it) => [it.id, it.status, it.labels]);
  return [...of(state.servers), ...of(state.images)];
}

const isRefused = (code) => (answer) => assert.equal(answer.body.code, code, JSON.stringify(answer.body));
const isNobodys = isRefused('vm_not_found');
const shows = (name, isThere) => ({ status, body }) => {
  assert.equal(status, 200);
  assert.equal(JSON.stringify(body[name] ?? body).includes(isThere.id), isThere.to, JSON.stringify(body));
};
const isFine = ({ status, body }) => assert.ok(status < 300, JSON.stringify(body));
/** An admin gets to the VM: what is answered then is its state's. */
const isReached = ({ status, body }) => assert.ok(status < 300 || ['wrong_state', 'log_not_found'].includes(body.code), JSON.stringify(body));
const leavesAnns = ({ status, body }) => {
  assert.equal(status, 200);
  assert.deepEqual([body.reaped, body.of_others], [[], 1], JSON.stringify(body));
};

/** Every route that takes a token: what Bob is answered, the admin, and Ann where it differs; in an order that ends with deletions. */
const MATRIX = () => [
  ['GET /options', null, ({ body }) => assert.deepEqual([body.owner, body.admin], ['bob', false]), ({ body }) => assert.deepEqual([body.owner, body.admin], ['root', true]), ({ body }) => assert.deepEqual([body.owner, body.admin], ['ann', false])],
  ['GET /health/providers', null, isFine, isFine],
  ['GET /vms', null, shows('vms', { id: vm.id, to: false }), shows('vms', { id: vm.id, to: true })],
  ['GET /metrics', null, ({ body }) => assert.doesNotMatch(body, /ann/), ({ body }) => assert.match(body, /owner="ann"/)],
  ['GET /vms/{id}', null, isNobodys, isFine],
  ['GET /vms/{id}/log', null, isNobodys, isReached],
  ['POST /vms/{id}/open', null, isNobodys, isFine],
  ['POST /vms/{id}/extend', { minutes: 30 }, isNobodys, isFine],
  ['POST /vms/{id}/snapshots', null, isNobodys, isFine],
  ['POST /vms/{id}/stop', null, isNobodys, isFine],
  ['POST /vms/{id}/start', null, isNobodys, isReached],
  ['GET /snapshots', null, shows('snapshots', { id: snapshot.id, to: false }), shows('snapshots', { id: snapshot.id, to: true })],
  ['POST /vms', { repo_url: REPO, snapshot_id: snapshot.id, size: 'large' }, isRefused('invalid_request'), ({ body }) => assert.equal(body.vm.owner, 'root'), ({ body }) => assert.equal(body.vm.owner, 'ann')],
  ['POST /user-data', { repo_url: REPO }, isFine, isFine],
  ['POST /seal', { secret: 'x' }, isFine, isFine],
  ['POST /snapshots/golden', { profile: 'none' }, isRefused('invalid_request'), isRefused('invalid_request')],
  ['GET /workspaces', null, isFine, isFine],
  ['DELETE /workspaces/{name}', null, isRefused('invalid_request'), isFine],
  ['GET /orphans', null, shows('orphans', { id: late.id, to: false }), shows('orphans', { id: late.id, to: true })],
  ['POST /reap', null, leavesAnns, ({ body }) => assert.deepEqual(body.reaped.filter((it) => it.kind === 'vm').map((it) => it.id), [late.id])],
  ['DELETE /orphans', null, leavesAnns, isFine],
  ['DELETE /snapshots/{id}', null, ({ body }) => assert.equal(body.already_gone, true), ({ body }) => assert.equal(body.already_gone, false)],
  ['DELETE /vms', null, ({ body }) => assert.deepEqual([body.deleted, body.remaining], [[], 0]), ({ body }) => assert.equal(JSON.stringify(body).includes(vm.id), false), ({ body }) => assert.equal(JSON.stringify(body).includes(vm.id), true)],
  ['DELETE /vms/{id}', null, isNobodys, isFine],
];

const pathOf = (path) => path
  .replace('/snapshots/{id}', `/snapshots/${snapshot.id}`)
  .replace('{id}', vm.id)
  .replace('{name}', 'github.com~octocat~Hello-World?owner=ann');

async function walk(call, column) {
  for (const [route, body, ofBob, ofRoot, ofAnn = ofRoot] of MATRIX()) {
    const [method, path] = route.split(' ');
    const query = route === 'DELETE /vms' ? '?confirm=all' : '';
    const answer = await call(method, pathOf(path) + query, body ?? undefined);
    try {
      [ofBob, ofRoot, ofAnn][column](answer);
    } catch (error) {
      throw new Error(`${route}: ${answer.status} ${error.message}`, { cause: error });
    }
  }
}

test('the matrix has every route that takes a token', async () => {
  const document = JSON.parse(await readFile(new URL('../../src/api/openapi.json', import.meta.url), 'utf8'));
  const routes = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item)
    .filter(([method, operation]) => method !== 'parameters' && !operation.security)
    .map(([method]) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(MATRIX().map(([route]) => route).sort(), routes.sort());
});

test('what is Ann’s is nothing to Bob, whatever he asks for, and stays as it is', async () => {
  const before = await anns();
  assert.equal(before.length, 3);
  await walk(bob, 0);
  assert.deepEqual(await anns(), before);
});

test('Bob has his own, within his own ceiling', async () => {
  const first = await bob('POST', '/vms', { repo_url: REPO });
  assert.equal(first.status, 201);
  const { status, body } = await bob('POST', '/vms', { repo_url: REPO });
  assert.equal(status, 429);
  assert.deepEqual(body.errors, [{ field: 'max_vms', detail: 'is 1, and you have 1 VMs' }]);
  assert.equal((await bob('DELETE', '/vms?confirm=all')).body.deleted.length, 1);
});

test('a secret that Ann sealed is worth nothing to Bob, and a key to Ann', async () => {
  const { body: { sealed } } = await ann('POST', '/seal', { secret: 'sk-ant-api03-of-ann' });
  assert.match(sealed, /^mfs1\.test\./);
  const request = { repo_url: REPO, anthropic_api_key: sealed };
  assert.equal((await bob('POST', '/user-data', request)).body.errors[0].field, 'anthropic_api_key');
  const { status, body } = await ann('POST', '/user-data', request);
  assert.equal(status, 200);
  assert.equal(body.user_data.includes(sealed), false);
});

test('an admin sees it all, and may end it', async () => {
  await walk(root, 1);
  const left = await until('what is deleted is gone', async () => {
    const { vms } = (await root('GET', '/vms')).body;
    return vms.every((it) => it.state === 'deleting') && [true];
  });
  assert.ok(left);
  const snapshots = (await root('GET', '/snapshots')).body.snapshots;
  assert.equal(snapshots.some((it) => it.id === snapshot.id), false);
});

test('what is Ann’s is hers, by every route', async () => {
  await stage();
  await walk(ann, 2);
  assert.equal((await anns()).length, 0);
});

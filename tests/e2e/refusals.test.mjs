/**
 * Bad input and bad providers, through the real runtime to the fake cloud: each gets a problem with the right status,
 * and afterwards the account holds nothing that was not there before. The whole matrix is tested natively (tests/api).
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const REPO = 'https://github.com/octocat/Hello-World';
const KINDS = ['servers', 'ssh_keys', 'firewalls', 'primary_ips', 'volumes'];

let cloud;
let worker;

before(async () => {
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  worker = await startWorker({ vars: cloud.vars });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
});
beforeEach(() => cloud.reset());

function assertProblem(answer, status, code) {
  assert.equal(answer.headers.get('content-type'), 'application/problem+json', JSON.stringify(answer.body));
  assert.deepEqual([answer.status, answer.body.status, answer.body.code], [status, status, code], answer.body.detail);
  assert.equal(answer.body.request_id, answer.headers.get('x-request-id'));
}

async function assertNothingLeft() {
  await until('nothing was created, or everything was rolled back', async () => {
    const state = await cloud.state();
    return KINDS.every((kind) => state[kind].length === 0);
  });
}

test('tokens that are missing, wrong, of another scheme or a megabyte long', async () => {
  assertProblem(await worker.api('GET', '/vms', undefined, { token: null }), 401, 'unauthorized');
  assertProblem(await worker.api('GET', '/vms', undefined, { token: 'wrong' }), 401, 'unauthorized');
  const basic = { token: null, headers: { authorization: `Basic ${btoa(`x:${worker.token}`)}` } };
  const answer = await worker.api('GET', '/vms', undefined, basic);
  assertProblem(answer, 401, 'unauthorized');
  assert.match(answer.headers.get('www-authenticate'), /^Bearer/);
  // The runtime in front refuses a header of that size itself, or hands it on; in no case is it an answer.
  const huge = await worker.fetch('/vms', { headers: { authorization: `Bearer ${'x'.repeat(1 << 20)}` } }).catch(() => undefined);
  assert.ok(huge === undefined || [401, 413, 431].includes(huge.status), String(huge?.status));
});

for (const [what, body, fields] of [
  ['no JSON', '{', ['']],
  ['no object', '[]', ['']],
  ['an unknown field', { repo_url: REPO, rep: 1 }, ['rep']],
  ['a wrong type', { repo_url: 7 }, ['repo_url']],
  ['several errors at once', { repo_url: REPO, size: 'huge', name: 'UP', idle_minutes: 0 }, ['idle_minutes', 'name', 'size']],
  ['a command behind the URL', { repo_url: `${REPO};reboot` }, ['repo_url']],
  ['a substitution', { repo_url: 'https://github.com/$(reboot)/x' }, ['repo_url']],
  ['a newline', { repo_url: `${REPO}\nx` }, ['repo_url']],
  ['a quote', { repo_url: `${REPO}"'` }, ['repo_url']],
  ['an option of git', { repo_url: '--upload-pack=touch /tmp/x' }, ['repo_url']],
  ['a file', { repo_url: 'file:///etc/shadow' }, ['repo_url']],
  ['the metadata service', { repo_url: 'https://169.254.169.254/hetzner/v1/userdata' }, ['repo_url']],
  ['3,000 characters', { repo_url: `${REPO}/${'x'.repeat(3000)}` }, ['repo_url']],
  ['an emoji in the name', { repo_url: REPO, name: 'box-🚀' }, ['name']],
  ['a name of 70 characters', { repo_url: REPO, name: 'x'.repeat(70) }, ['name']],
  ['a private key', { repo_url: REPO, ssh_public_key: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n' }, ['ssh_public_key']],
]) {
  test(`a create request with ${what} is refused without a call`, async () => {
    const before = (await cloud.requests()).length;
    const answer = await worker.api('POST', '/vms', body);
    assertProblem(answer, 400, 'invalid_request');
    assert.deepEqual(answer.body.errors.map((it) => it.field).sort(), fields);
    assert.equal((await cloud.requests()).length, before);
  });
}

test('user data that would not fit is refused without a call', async () => {
  const before = (await cloud.requests()).length;
  const env = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`VAR_${at}`, 'x'.repeat(90)]));
  const secrets = { git_token: 'x'.repeat(4096), anthropic_api_key: 'x'.repeat(4096) };
  const answer = await worker.api('POST', '/vms', { repo_url: REPO, env, ...secrets, ssh_public_key: longKey() });
  if (answer.status !== 422) assertProblem(answer, 201, 'created');
  assertProblem(answer, 422, 'user_data_too_long');
  assert.equal((await cloud.requests()).length, before);
});

/** An RSA key of about 3,000 characters, valid in form. */
function longKey() {
  const string = (bytes) => Buffer.concat([Buffer.from(Uint32Array.of(bytes.length).buffer).swap32(), bytes]);
  const blob = Buffer.concat([string(Buffer.from('ssh-rsa')), string(Buffer.from([1, 0, 1])), string(Buffer.alloc(2200, 7))]);
  return `ssh-rsa ${blob.toString('base64')}`;
}

test('ids of others, of nobody and of no form', async () => {
  const foreign = await fetch(`${cloud.apiUrl}/servers`, {
    method: 'POST',
    headers: { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'not-ours', server_type: 'cx23', image: 'debian-13', labels: { 'managed-by': 'mayfly' } }),
  });
  const { server } = await foreign.json();
  for (const method of ['GET', 'DELETE']) {
    for (const id of [`hetzner-${server.id}`, `scaleway-${server.id}`, 'ec2-i-0123', `hetzner-${server.id}x`, 'hetzner--1', '..%2fvms']) {
      assertProblem(await worker.api(method, `/vms/${id}`), 404, 'vm_not_found');
    }
    assertProblem(await worker.api(method, '/vms/'), 404, 'not_found');
  }
  assertProblem(await worker.api('POST', `/vms/hetzner-${server.id}/open`), 404, 'vm_not_found');
  assert.deepEqual((await worker.api('GET', '/vms')).body.vms, []);
  assert.deepEqual((await cloud.state()).servers.map((it) => it.name), ['not-ours']);
});

test('unknown paths and wrong methods', async () => {
  assertProblem(await worker.api('GET', '/nothing'), 404, 'not_found');
  const wrong = await worker.api('PATCH', '/vms');
  assertProblem(wrong, 405, 'method_not_allowed');
  assert.equal(wrong.headers.get('allow'), 'GET, POST, DELETE');
});

const HTML = '<html><body>Bad gateway of a proxy</body></html>';
for (const [what, fault, status, code] of [
  ['401', { status: 401, code: 'unauthorized' }, 502, 'provider_unauthorized'],
  ['403 for a token that may only read', { status: 403, code: 'token_readonly' }, 502, 'provider_token_readonly'],
  ['403 for a quota', { status: 403, code: 'resource_limit_exceeded' }, 503, 'provider_quota'],
  ['409', { status: 409, code: 'conflict' }, 409, 'provider_conflict'],
  ['412 everywhere', { status: 412, code: 'resource_unavailable' }, 503, 'provider_capacity'],
  ['422', { status: 422, code: 'invalid_input' }, 502, 'provider_invalid'],
  ['423', { status: 423, code: 'locked' }, 409, 'provider_locked'],
  ['429', { status: 429, code: 'rate_limit_exceeded' }, 503, 'provider_rate_limited'],
  ['500 with HTML', { status: 500, body: HTML }, 502, 'provider_unavailable'],
  ['half a JSON', { status: 200, body: '{"server": {"id": 1' }, 502, 'provider_malformed'],
  ['a connection that ends before anything was done', { drop: 'before' }, 502, 'provider_unavailable'],
]) {
  test(`a creation that the provider answers with ${what} leaves nothing behind`, async () => {
    await cloud.fault({ method: 'POST', path: '/servers', times: null, ...fault });
    const answer = await worker.api('POST', '/vms', { repo_url: REPO });
    assertProblem(answer, status, code);
    assert.ok(!JSON.stringify(answer.body).includes('proxy'), 'a raw body does not leave');
    if (status === 503 && code === 'provider_rate_limited') assert.match(answer.headers.get('retry-after'), /^\d+$/);
    await cloud.clearFaults();
    await assertNothingLeft();
  });
}

for (const [what, fault] of [
  ['dropped after the server was made', { drop: 'after' }],
  ['half a JSON after the server was made', { status: 201, body: '{"server": {', acts: true }],
  ['a 504 after the server was made', { status: 504, code: 'timeout', acts: true }],
]) {
  test(`a creation whose answer was lost (${what}) finds its server`, async () => {
    await cloud.fault({ method: 'POST', path: '/servers', times: 1, ...fault });
    const answer = await worker.api('POST', '/vms', { repo_url: REPO });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.deepEqual(answer.body.attempts.map((it) => it.outcome), ['adopted']);
    assert.equal((await cloud.state()).servers.length, 1);
    assert.equal((await worker.api('DELETE', `/vms/${answer.body.vm.id}`)).status, 200);
    });
}

test('capacity that is refused in one place is found in another, and every attempt is told', async () => {
  await cloud.config({ capacity: { cx23: { fsn1: 'hidden', nbg1: 'unsupported' } } });
  const answer = await worker.api('POST', '/vms', { repo_url: REPO });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const outcomes = answer.body.attempts.map((it) => it.outcome);
  assert.equal(outcomes.at(-1), 'created');
  assert.ok(outcomes.length > 1 && outcomes.slice(0, -1).every((it) => it === 'provider_capacity'), String(outcomes));
});

test('a delete that fails is no success, and the reaper finishes it', async () => {
  const created = await worker.api('POST', '/vms', { repo_url: REPO });
  const { id } = created.body.vm;
  await cloud.fault({ method: 'DELETE', path: '/servers/{id}', times: null, status: 503, code: 'unavailable' });
  assertProblem(await worker.api('DELETE', `/vms/${id}`), 502, 'provider_unavailable');
  assert.equal((await worker.api('GET', `/vms/${id}`)).body.vm.id, id, 'it is still shown');
  await cloud.clearFaults();
  await worker.cron();
  await until('the reaper has deleted it', async () => (await cloud.state()).servers.length === 0);
});

test('the same Idempotency-Key at the same moment makes one VM', async () => {
  const headers = { 'idempotency-key': 'twice' };
  const answers = await Promise.all([1, 2, 3].map(() => worker.api('POST', '/vms', { repo_url: REPO }, { headers })));
  const ids = new Set(answers.map((it) => it.body.vm?.id));
  assert.equal(ids.size, 1, JSON.stringify(answers.map((it) => it.body)));
  assert.equal(new Set(answers.map((it) => it.body.password)).size, 1);
  assert.deepEqual((await cloud.state()).servers.length, 1);
  assertProblem(await worker.api('POST', '/vms', { repo_url: `${REPO}2` }, { headers }), 422, 'idempotency_key_reused');
});

test('a provider that says nothing for a minute is given up after ten seconds', async () => {
  await cloud.fault({ method: 'GET', path: '/server_types', times: null, delay_ms: 60_000 });
  const since = Date.now();
  const answer = await worker.api('POST', '/vms', { repo_url: REPO });
  assertProblem(answer, 504, 'provider_timed_out');
  assert.ok(Date.now() - since < 30_000);
  await cloud.clearFaults();
  await assertNothingLeft();
});

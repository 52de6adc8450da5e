/**
 * The agent's way through the Worker in workerd: streams that are never held, what goes out and comes back byte by byte,
 * deadlines, callers that go away, and what was used. What may pass is tested natively (tests/api/agent.rs); the real client
 * is in agent-claude.test.mjs.
 */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';
import { capability } from '../backup/support.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const KEY = 'the-key-that-stays-with-the-worker';
const OWNER = 'default';
const PATH = '/vm/anthropic/v1/messages?beta=true';
const START = { type: 'message_start', message: { id: 'msg_1', usage: { input_tokens: 30, cache_read_input_tokens: 200, output_tokens: 1 } } };
const END = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 50 } };
/** Of an answer with both: 30 + 50 + 200 / 10. */
const TOKENS = 100;

let api;
let cloud;
let worker;

before(async () => {
  api = await startApi();
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  worker = await start({});
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  api?.close();
});

const start = (vars, options = { bucket: true }) =>
  startWorker({ vars: { ...cloud.vars, AGENT_PROXY: 'on', AGENT_UPSTREAM_URL: api.url, ANTHROPIC_API_KEY: KEY, ...vars }, ...options });

/** A server in the API's place: `api.answers` is a function of the test's own. */
async function startApi() {
  const it = { answers: undefined, seen: [] };
  const server = createServer((asked, response) => {
    it.seen.push({ line: `${asked.method} ${asked.url}`, headers: asked.headers });
    it.answers(asked, response);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  it.url = `http://127.0.0.1:${server.address().port}`;
  it.close = () => (server.closeAllConnections(), server.close());
  return it;
}

const token = (more = {}) => capability('agent', '', { owner: OWNER, ...more });
const event = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const delta = (text) => event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
const ask = (body = '{}', { to = worker, headers = {}, key = token(), ...more } = {}) =>
  to.fetch(PATH, { method: 'POST', body, headers: { 'x-api-key': key, 'content-type': 'application/json', ...headers }, ...more });

/** Answers with these events at once. */
function stream(...parts) {
  return (asked, response) => {
    asked.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': 'req_1', 'set-cookie': 'a=b' });
    for (const it of parts) response.write(it);
    response.end();
  };
}

for (const [what, options] of [['counted', { bucket: true }], ['not counted', {}]]) {
  test(`each event arrives before the next one is sent; ${what}`, async (t) => {
    const own = await start({}, options);
    t.after(() => own.close());
    const parts = [event(START), ...Array.from({ length: 60 }, (_, nth) => delta(`${randomBytes(nth).toString('base64')}\n"é🚀\\`)), event(END)];
    let went;
    api.answers = async (asked, response) => {
      asked.resume();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const part of parts) {
        const arrived = new Promise((go) => (went = go));
        response.write(part);
        await arrived;
      }
      response.end();
    };
    let text = '';
    let nth = 0;
    let expected = parts[0];
    const decoder = new TextDecoder();
    const answer = await ask('{}', { to: own });
    for await (const chunk of answer.body) {
      text += decoder.decode(chunk, { stream: true });
      if (text === expected && nth < parts.length) {
        expected += parts[++nth] ?? '';
        went();
      }
    }
    assert.equal(text, parts.join(''));
    assert.equal(nth, parts.length, 'one after the other');
  });
}

test('a large answer comes back byte by byte, with the headers that pass', async () => {
  const parts = [event(START), ...Array.from({ length: 3000 }, () => delta(randomBytes(60).toString('base64'))), event(END)];
  api.answers = stream(...parts);
  const answer = await ask();
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.toString(), parts.join(''));
  assert.equal(answer.headers.get('request-id'), 'req_1');
  assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(answer.headers.get('set-cookie'), null);
  assert.ok(answer.headers.get('x-request-id'));
});

test('a question goes out byte by byte, packed or not, while it is still being asked', async () => {
  const body = randomBytes(3_000_000);
  const seen = createHash('sha256');
  let began;
  const beginning = new Promise((go) => (began = go));
  api.answers = async (asked, response) => {
    for await (const chunk of asked) {
      seen.update(chunk);
      began();
    }
    stream(event(START), event(END))(asked, response);
  };
  const answered = new Promise((done, failed) => {
    const headers = { 'x-api-key': token(), 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': body.length };
    const call = request(new URL(PATH, worker.url), { method: 'POST', headers }, (response) => response.resume().on('end', () => done(response)));
    call.on('error', failed);
    call.write(body.subarray(0, 500_000));
    beginning.then(() => call.end(body.subarray(500_000)));
  });
  assert.equal((await answered).statusCode, 200);
  assert.equal(seen.digest('hex'), createHash('sha256').update(body).digest('hex'));
  const { line, headers } = api.seen.at(-1);
  assert.equal(line, 'POST /v1/messages?beta=true');
  assert.equal(headers['content-encoding'], 'gzip');
  assert.equal(headers['content-length'], String(body.length));
  assert.equal(headers['x-api-key'], KEY);
  assert.equal(headers.authorization, undefined);
});

test('what a caller no longer reads is no longer written', async () => {
  let closed;
  const ended = new Promise((go) => (closed = go));
  api.answers = (asked, response) => {
    asked.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(START));
    const more = setInterval(() => response.write(delta('more')), 20);
    response.on('close', () => (clearInterval(more), closed()));
  };
  const leave = new AbortController();
  const answer = await ask('{}', { signal: leave.signal });
  await answer.body.getReader().read();
  leave.abort();
  await ended;
});

test('errors of the API pass with what their client goes by', async () => {
  for (const status of [400, 403, 413, 429, 500, 529]) {
    const body = `{"type":"error","error":{"type":"x_error","message":"${status}"}}`;
    api.answers = (asked, response) => {
      asked.resume();
      const headers = { 'retry-after': '3', 'anthropic-ratelimit-unified-status': 'rejected', 'anthropic-organization-id': 'whose' };
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    };
    const answer = await ask();
    assert.deepEqual([answer.status, await answer.text()], [status, body]);
    assert.equal(answer.headers.get('retry-after'), '3');
    assert.equal(answer.headers.get('anthropic-ratelimit-unified-status'), 'rejected');
    assert.equal(answer.headers.get('anthropic-organization-id'), null);
  }
});

async function refused(answer, status, type, message) {
  const body = await answer.json();
  assert.deepEqual([answer.status, body.type, body.error.type], [status, 'error', type], JSON.stringify(body));
  assert.match(body.error.message, message);
  assert.equal(body.request_id, answer.headers.get('x-request-id'));
}

test('wrong, late and foreign capabilities are refused without a question', async () => {
  const before = api.seen.length;
  await refused(await ask('{}', { key: 'sk-ant-something' }), 401, 'authentication_error', /not valid/);
  await refused(await ask('{}', { key: token({ seconds: -1 }) }), 401, 'authentication_error', /no longer/);
  for (const scope of ['vm', 'backup', 'prune']) {
    await refused(await ask('{}', { key: capability(scope, '', { owner: OWNER }) }), 403, 'permission_error', /not good for this/);
  }
  for (const path of ['v1/files', 'v1/messages/batches', 'v1/messages/%2e%2e/files', 'v1/models/..%2ffiles', 'v1%2fmessages']) {
    const answer = await worker.fetch(`/vm/anthropic/${path}`, { method: 'POST', headers: { 'x-api-key': token() } });
    await refused(answer, 404, 'not_found_error', /only/);
  }
  assert.equal(api.seen.length, before);
});

test('an API that does not answer, is not there, or moves', async (t) => {
  const hasty = await start({ AGENT_TIMEOUT_SECONDS: '1' });
  t.after(() => hasty.close());
  api.answers = (asked) => asked.resume();
  await refused(await ask('{}', { to: hasty }), 504, 'timeout_error', /within 1 s/);
  // The deadline is for its beginning.
  api.answers = (asked, response) => {
    asked.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event(START));
    setTimeout(() => response.end(event(END)), 1500);
  };
  assert.equal(await (await ask('{}', { to: hasty })).text(), event(START) + event(END));
  const thief = await startApi();
  t.after(() => thief.close());
  api.answers = (asked, response) => asked.resume() && response.writeHead(307, { location: `${thief.url}/v1/messages` }).end();
  await refused(await ask(), 502, 'api_error', /another address/);
  assert.deepEqual(thief.seen, []);
  api.answers = (asked, response) => asked.resume() && response.writeHead(401).end('{}');
  await refused(await ask(), 502, 'api_error', /refuses the Worker's key/);
  const gone = await start({ AGENT_UPSTREAM_URL: 'http://127.0.0.1:9' });
  t.after(() => gone.close());
  await refused(await ask('{}', { to: gone }), 502, 'api_error', /cannot be reached/);
});

test('what was used is shown, and past a budget nothing is asked', async (t) => {
  const own = await start({ AGENT_BUDGET_VM_TOKENS: String(3 * TOKENS), AGENT_BUDGET_OWNER_DAILY_TOKENS: String(4 * TOKENS) });
  t.after(() => own.close());
  const { body } = await own.api('POST', '/vms', { repo_url: 'https://github.com/octocat/Hello-World' });
  const [server] = (await cloud.state()).servers.filter((it) => body.vm.id === `hetzner-${it.id}`);
  const key = token({ vm: server.labels['mayfly-vm'] });
  const used = async () => (await own.api('GET', `/vms/${body.vm.id}`)).body.agent;
  assert.deepEqual(await used(), {
    input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, tokens: 0, tokens_today: 0, budget: 300,
  });
  const turn = async (answers, tokens) => {
    api.answers = answers;
    const answer = await ask('{}', { to: own, key });
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
    await until(`${tokens} tokens are written down`, async () => (await used()).tokens === tokens);
  };
  await turn(stream(event(START), delta('x'), event(END)), TOKENS);
  const whole = JSON.stringify({ type: 'message', usage: { ...START.message.usage, output_tokens: 50 } });
  await turn((asked, response) => asked.resume() && response.writeHead(200, { 'content-type': 'application/json' }).end(whole), 2 * TOKENS);
  await turn(stream(...`${event(START)}${delta('x')}${event(END)}`.split(/(?<=[:u])/)), 3 * TOKENS);
  assert.deepEqual(await used(), {
    input_tokens: 90, output_tokens: 150, cache_creation_input_tokens: 0, cache_read_input_tokens: 600, tokens: 300, tokens_today: 300, budget: 300,
  });
  const before = api.seen.length;
  const spent = await ask('{}', { to: own, key });
  assert.equal(spent.headers.get('x-should-retry'), 'false');
  await refused(spent, 429, 'rate_limit_error', /AGENT_BUDGET_VM_TOKENS/);
  // Another VM of the same owner has one turn left today.
  api.answers = stream(event(START), event(END));
  const other = token({ vm: 'another' });
  await (await ask('{}', { to: own, key: other })).arrayBuffer();
  const today = async () => Number(/^mayfly_agent_tokens_today\S* (\d+)$/m.exec((await own.api('GET', '/metrics')).body)[1]);
  await until('the day has it', async () => (await today()) === 4 * TOKENS);
  await refused(await ask('{}', { to: own, key: other }), 429, 'rate_limit_error', /AGENT_BUDGET_OWNER_DAILY_TOKENS/);
  assert.equal(api.seen.length, before + 1);
  assert.equal((await own.api('GET', '/workspaces')).status, 200);
  assert.deepEqual((await own.api('GET', '/workspaces')).body.workspaces, []);
});

test('a budget without a bucket is a problem of the configuration', async (t) => {
  const own = await start({ AGENT_BUDGET_VM_TOKENS: '9' }, {});
  t.after(() => own.close());
  const { status, body } = await own.api('GET', '/vms');
  assert.deepEqual([status, body.errors.map((it) => it.field)], [503, ['AGENT_BUDGET_VM_TOKENS']]);
  await refused(await ask('{}', { to: own }), 503, 'api_error', /configuration/);
});

test('the key is in no answer and in no line of the log', () => {
  assert.ok(worker.logs().length > 0);
  assert.ok(!JSON.stringify(worker.logs()).includes(KEY));
});

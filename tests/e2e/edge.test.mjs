/**
 * What only the real runtime can show about the edge: addresses and bodies as they arrive over HTTP, deadlines,
 * redirects, an instance that panicked. What the core answers to whom is tested natively (tests/api).
 */

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { startWorker } from './support/worker.mjs';

const REPO = 'https://github.com/octocat/Hello-World';

/**
 * The Worker as it ships, whose randomness can be taken away: the one thing of the platform that the edge expects to
 * be there. `now` takes it at once, `later` after the first answer of a provider.
 */
const BREAKABLE = `
import worker from "../worker.js";
let isBroken = false;
const random = crypto.getRandomValues.bind(crypto);
Object.defineProperty(crypto, "getRandomValues", {
  value: (array) => {
    if (isBroken) throw new Error("no randomness: asked for by the test");
    return random(array);
  },
});
const send = globalThis.fetch;
let breakLater = false;
globalThis.fetch = async (...given) => {
  const answer = await send(...given);
  if (breakLater) isBroken = true;
  return answer;
};
export default {
  fetch(request, env, context) {
    const wish = request.headers.get("x-break");
    isBroken = wish === "now";
    breakLater = wish === "later";
    return worker.fetch(request, env, context);
  },
  scheduled: worker.scheduled,
};
`;

let cloud;
let worker;

before(async () => {
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  worker = await startWorker({ vars: cloud.vars, entry: BREAKABLE });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
});

test('path and query reach the core as they were sent', async () => {
  assert.equal((await worker.api('GET', '/healthz')).status, 200);
  assert.equal((await worker.api('GET', '/healthz?x=/vms?y#z')).status, 200);
  assert.equal((await worker.api('GET', '/vms/..%2fhealthz')).status, 404);
  assert.equal((await worker.api('POST', '/reap?dry_run=1')).body.dry_run, true);
});

test('the page is served beside the API, with its own headers', async () => {
  const page = await worker.fetch('/');
  assert.equal(page.status, 200);
  assert.match(page.headers.get('content-type'), /^text\/html/);
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'|default-src 'self'/);
});

test('a body that is too long is refused, announced or not', async () => {
  const announced = await worker.api('POST', '/vms', JSON.stringify({ repo_url: 'x'.repeat(2_000_000) }));
  assert.equal(announced.status, 413);
  assert.equal(announced.headers.get('content-type'), 'application/problem+json');
  assert.equal((await sendChunks(500_000)).status, 413);
});

test('a body without an announced length is read whole', async () => {
  const answer = await sendChunks(2_000);
  assert.equal(answer.status, 400, 'the core read it, and found no JSON');
});

test('a body that breaks off reaches nobody', async () => {
  const before = (await cloud.requests()).length;
  await new Promise((done) => {
    const headers = { authorization: `Bearer ${worker.token}`, 'content-type': 'application/json', 'content-length': '500' };
    const call = request(new URL('/vms', worker.url), { method: 'POST', headers });
    call.on('error', done);
    call.on('close', done);
    call.write(`{"repo_url": "${REPO}"`, () => call.destroy());
  });
  assert.equal((await worker.api('GET', '/healthz')).status, 200);
  assert.equal((await cloud.requests()).length, before);
});

for (const [how, kind] of [['no answer at all', 'silent'], ['half an answer', 'half']]) {
  test(`a provider that gives ${how} becomes an error entry after ten seconds`, async (t) => {
    const provider = await startProvider(t, (_request, response) => {
      if (kind === 'half') response.writeHead(200, { 'content-type': 'application/json' }).write('{"servers": [');
    });
    const other = await startWorkerFor(t, provider);
    const since = Date.now();
    const { status, body } = await other.api('GET', '/vms');
    const seconds = (Date.now() - since) / 1000;
    assert.equal(status, 200);
    assert.deepEqual(body.vms, []);
    assert.deepEqual(body.errors.map((it) => [it.provider, it.code]), [['hetzner', 'provider_timed_out']]);
    assert.ok(seconds > 9 && seconds < 45, `${seconds} s`);
  });
}

test('a redirect is not followed: it would carry the token away', async (t) => {
  const seen = [];
  const thief = await startProvider(t, (asked, response) => {
    seen.push(asked.headers.authorization);
    response.end('{}');
  });
  const provider = await startProvider(t, (_request, response) => response.writeHead(307, { location: thief.url }).end());
  const other = await startWorkerFor(t, provider);
  const { body } = await other.api('GET', '/vms');
  assert.equal(body.errors.length, 1);
  assert.deepEqual(seen, []);
});

test('an instance that panics answers 500 as a problem, and the next request gets a fresh one', async () => {
  const broken = await worker.api('GET', '/healthz', undefined, { headers: { 'x-break': 'now' } });
  assertInternal(broken);
  assert.equal((await worker.api('GET', '/healthz')).status, 200);
});

test('so does one that panics while it waits for a provider, and the requests beside it end too', async () => {
  const { body } = await worker.api('POST', '/vms', { repo_url: REPO });
  assert.ok(body.vm, JSON.stringify(body));
  const open = `/vms/${body.vm.id}/open`;
  assert.equal((await worker.api('POST', open)).status, 200);
  assertInternal(await worker.api('POST', open, undefined, { headers: { 'x-break': 'later' } }));
  assert.equal((await worker.api('POST', open)).status, 200);
  assert.equal((await worker.api('DELETE', `/vms/${body.vm.id}`)).status, 200);
});

test('the cron trigger runs the reaper to its end', async () => {
  const before = (await cloud.requests()).length;
  assert.equal(await worker.cron(), 'ok');
  assert.ok((await cloud.requests()).length > before, 'the reaper asked the provider');
});

function assertInternal({ status, headers, body }) {
  assert.equal(status, 500);
  assert.equal(headers.get('content-type'), 'application/problem+json');
  assert.equal(body.code, 'internal');
  assert.equal(body.request_id, headers.get('x-request-id'));
}

/** A POST whose length is not announced. */
function sendChunks(bytes) {
  return new Promise((done, failed) => {
    const headers = { authorization: `Bearer ${worker.token}`, 'content-type': 'application/json' };
    const call = request(new URL('/vms', worker.url), { method: 'POST', headers }, (response) => {
      response.resume();
      done({ status: response.statusCode });
    });
    call.on('error', failed);
    for (let sent = 0; sent < bytes; sent += 1000) call.write('x'.repeat(1000));
    call.end();
  });
}

/** A server of the test's own in the provider's place. */
async function startProvider(t, answer) {
  const server = createServer(answer);
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}` };
}

async function startWorkerFor(t, provider) {
  const other = await startWorker({ vars: { HETZNER_TOKEN: 'x', HETZNER_API_URL: provider.url, SIMULATION: '1' } });
  t.after(() => other.close());
  return other;
}

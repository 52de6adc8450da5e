// Before anything is measured: the peer answers what Mayfly answers, in status, headers and body, for good requests and
// for bad ones. A peer that does less would make a poor measure.
import assert from 'node:assert/strict';
import { TOKENS } from './workers.mjs';

const CORS = { 'access-control-request-method': 'GET' };
const TRIES = 5;
/** Different in every answer, or counted from a text that may write 1.0 for 1. */
const APART = ['x-request-id', 'date', 'content-length'];

const REQUESTS = [
  ['GET', '/healthz', {}],
  ['POST', '/healthz', {}],
  ['GET', '/vms', bearer(TOKENS.fifty)],
  ['GET', '/vms', bearer(TOKENS.many)],
  ['GET', '/vms', bearer(TOKENS.none)],
  ['GET', '/vms', bearer(TOKENS.refused)],
  ['GET', '/vms', { ...bearer(TOKENS.none), origin: 'https://mayfly.pages.dev' }],
  ['GET', '/vms', { ...bearer(TOKENS.none), origin: 'https://a1b2.mayfly.pages.dev' }],
  ['GET', '/vms', { ...bearer(TOKENS.none), origin: 'https://evil.example' }],
  ['GET', '/vms', { ...bearer(TOKENS.none), 'cf-ray': '8f1a2b3c4d5e6f70-FRA' }],
  ['GET', '/vms', { authorization: `bearer  ${TOKENS.none} ` }],
  ['GET', '/vms', {}],
  ['GET', '/vms', bearer('wrong-token-wrong-token')],
  ['GET', '/vms', bearer('x'.repeat(2000))],
  ['GET', '/vms', { authorization: 'Basic Zm9vOmJhcg==' }],
  ['PATCH', '/vms', bearer(TOKENS.none)],
  ['GET', '/nothing', bearer(TOKENS.none)],
  ['GET', '/metrics', {}],
  ['OPTIONS', '/vms', { ...CORS, origin: 'https://mayfly.pages.dev' }],
  ['OPTIONS', '/nothing', { ...CORS, origin: 'https://mayfly.pages.dev' }],
];

/** Throws where the two differ. */
export async function assertSame(oursPort, peerPort) {
  for (const [method, path, headers] of REQUESTS) {
    for (let tried = 1; ; tried++) {
      const begun = second();
      const [ours, peer] = await Promise.all([oursPort, peerPort].map((port) => ask(port, method, path, headers)));
      // Ages count seconds: answers from both sides of a tick are asked for again.
      if (tried < TRIES && second() !== begun) continue;
      assert.deepEqual(peer, ours, `${method} ${path} ${JSON.stringify(headers).slice(0, 80)}`);
      if (path === '/vms' && ours.status === 200) check(ours.body, headers);
      break;
    }
  }
}

/** Two empty lists would be the same, too. */
function check({ vms, errors, totals }, { authorization }) {
  const expected = { [TOKENS.fifty]: 50, [TOKENS.none]: 0, [TOKENS.refused]: 0 }[authorization.slice(7).trim()];
  if (expected !== undefined) assert.equal(vms.length, expected);
  assert.equal(totals.count, vms.length);
  assert.equal(errors.length, authorization.endsWith(TOKENS.refused) ? 1 : 0);
}

async function ask(port, method, path, headers) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
  const text = await response.text();
  assert.ok(response.headers.get('x-request-id'), 'an answer without x-request-id');
  if (headers['cf-ray']) assert.equal(response.headers.get('x-request-id'), headers['cf-ray']);
  const seen = Object.fromEntries([...response.headers].filter(([name]) => !APART.includes(name)));
  const body = text === '' ? null : JSON.parse(text);
  if (body?.request_id) body.request_id = '';
  return { status: response.status, headers: seen, body };
}

function second() {
  return Math.floor(Date.now() / 1000);
}

function bearer(token) {
  return { authorization: `Bearer ${token}` };
}

// Cloudflare Access as identity in the real runtime: real keys and signatures, the team's keys from a server of the test's own
// that rotates and fails. Every claim and the times of the cache are tested natively (tests/api/cloudflare_access.rs).
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';
import { startWorker } from './support/worker.mjs';

const AUD = 'c0ffee'.padEnd(64, '0');
const PAGE = 'https://mayfly.pages.dev';
const OWNER = 'ann__example.com';
const [first, second, stranger] = ['first', 'second', 'first'].map((kid) => ({ kid, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }));

let cloud;
let team;
let worker;

before(async () => {
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  team = await startTeam();
  worker = await startAccess();
});
after(async () => {
  await worker?.close();
  await team?.close();
  await cloud?.close();
});

/** The team's keys, as Access publishes them; `keys`, `broken` and `delayMs` are what the test makes of it. */
async function startTeam() {
  const it = { keys: [first], asked: 0, broken: false };
  const server = createServer((request, response) => {
    it.asked += 1;
    assert.equal(request.url, '/cdn-cgi/access/certs');
    if (it.broken) return void request.socket.destroy();
    const keys = it.keys.map((key) => key.jwk ?? { ...key.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: 'RS256', use: 'sig' });
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys, public_cert: { kid: 'first', cert: '' }, public_certs: [] }));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  it.url = `http://127.0.0.1:${server.address().port}`;
  it.close = () => new Promise((done) => {
    server.closeAllConnections();
    server.close(done);
  });
  return it;
}

/** A Worker of its own knows no key yet. */
const startAccess = (vars = {}) => startWorker({
  vars: { ...cloud.vars, ACCESS_TEAM_DOMAIN: team.url, ACCESS_AUD: AUD, ACCESS_ADMINS: 'root@example.com', ALLOWED_ORIGINS: PAGE, ...vars },
});

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

function token(claims = {}, { key = first, header = {}, signer } = {}) {
  const all = { aud: [AUD], email: 'ann@example.com', exp: now() + 300, iat: now(), nbf: now(), iss: team.url, type: 'app', sub: 'x', ...claims };
  const signed = `${part({ alg: 'RS256', kid: key.kid, typ: 'JWT', ...header })}.${part(all)}`;
  const signature = signer ? signer(signed) : sign('sha256', Buffer.from(signed), key.privateKey);
  return `${signed}.${signature.toString('base64url')}`;
}

const call = (assertion, { to = worker, method = 'GET', path = '/vms', headers = {} } = {}) =>
  to.api(method, path, undefined, { token: '', headers: { 'cf-access-jwt-assertion': assertion, ...headers } });

async function denied(assertion, why) {
  const { status, body } = await call(assertion);
  assert.deepEqual([status, body.code], [401, 'unauthorized'], JSON.stringify(body));
  assert.match(body.detail, why);
}

test('whoever Access let in is recognised, and their VMs are theirs', async () => {
  assert.equal((await call(token())).status, 200);
  const options = await call(token(), { path: '/options' });
  assert.deepEqual([options.body.owner, options.body.admin], [OWNER, false]);
  const created = await worker.api('POST', '/vms', { repo_url: 'https://github.com/octocat/Hello-World' }, { token: '', headers: { 'cf-access-jwt-assertion': token() } });
  assert.equal(created.body.vm.owner, OWNER);
  const { id } = created.body.vm;
  assert.equal((await call(token({ email: 'bob@example.com' }), { path: `/vms/${id}` })).body.code, 'vm_not_found');
  const admin = await call(token({ email: 'Root@Example.com' }), { path: `/vms/${id}`, method: 'DELETE' });
  assert.equal(admin.status, 200);
  assert.equal(team.asked, 1, 'the keys are asked for once');
});

test('API tokens count beside it', async () => {
  assert.equal((await worker.api('GET', '/options')).body.owner, 'default');
  assert.equal((await worker.api('GET', '/vms', undefined, { token: '' })).status, 401);
});

test('signatures are checked, and with RS256 alone', async () => {
  await denied(token({}, { key: stranger }), /signature that is not/);
  const good = token();
  const [header, claims, signature] = good.split('.');
  const other = part({ ...JSON.parse(Buffer.from(claims, 'base64url')), email: 'root@example.com' });
  await denied(`${header}.${other}.${signature}`, /signature/);
  await denied(`${header}.${claims}.`, /signature/);
  const flipped = Buffer.from(signature, 'base64url');
  flipped[7] ^= 1;
  await denied(`${header}.${claims}.${flipped.toString('base64url')}`, /signature/);
  await denied(token({}, { header: { alg: 'none' }, signer: () => Buffer.alloc(0) }), /RS256/);
  // The public key, which everybody has, as the secret of an HMAC.
  const pem = createPublicKey(first.privateKey).export({ type: 'spki', format: 'pem' });
  await denied(token({}, { header: { alg: 'HS256' }, signer: (it) => createHmac('sha256', pem).update(it).digest() }), /RS256/);
  await denied(token({}, { signer: (it) => createHmac('sha256', pem).update(it).digest() }), /signature/);
  await denied(token({}, { signer: (it) => sign('sha512', Buffer.from(it), first.privateKey) }), /signature/);
  assert.equal((await call(good)).status, 200, 'the one that was spoilt is good');
});

test('claims count only when the signature does, each for itself', async () => {
  await denied(token({ exp: now() - 1 }), /has expired/);
  await denied(token({ nbf: now() + 600 }), /not valid yet/);
  await denied(token({ aud: ['0'.repeat(64)] }), /another application/);
  await denied(token({ iss: 'https://another.cloudflareaccess.com' }), /another team/);
  await denied(token({ email: undefined, common_name: 'program.access' }), /no e-mail address/);
});

test('a page that is not ours acts for nobody, and ours gets its cookies through', async () => {
  const from = (origin) => call(token(), { method: 'DELETE', path: '/vms?confirm=all', headers: { origin } });
  assert.equal((await from('https://evil.example')).status, 401);
  const ours = await from(PAGE);
  assert.deepEqual([ours.status, ours.headers.get('access-control-allow-origin'), ours.headers.get('access-control-allow-credentials')], [200, PAGE, 'true']);
  assert.equal((await from(worker.url)).status, 200);
});

test('a rotated key works once the minute is over, and an unknown one asks nobody in between', async (t) => {
  const other = await startAccess();
  t.after(() => other.close());
  team.keys = [first];
  assert.equal((await call(token(), { to: other })).status, 200);
  const { asked } = team;
  team.keys = [second, first];
  for (let tried = 0; tried < 20; tried++) assert.equal((await call(token({}, { key: { ...second, kid: `no-${tried}` } }), { to: other })).status, 401);
  assert.equal(team.asked, asked, 'nobody was asked within the minute');
  // Another isolate asks when it first needs a key: it takes the new one and the old one.
  const fresh = await startAccess();
  t.after(() => fresh.close());
  assert.equal((await call(token({}, { key: second }), { to: fresh })).status, 200);
  assert.equal((await call(token(), { to: fresh })).status, 200);
  assert.equal(team.asked, asked + 1);
  team.keys = [first];
});

test('keys that cannot be read are told as such, and tokens count all the same', async (t) => {
  const other = await startAccess();
  t.after(() => other.close());
  team.broken = true;
  const { status, body, headers } = await call(token(), { to: other });
  assert.deepEqual([status, body.code, headers.get('retry-after')], [503, 'access_unavailable', '5']);
  assert.equal((await other.api('GET', '/vms')).status, 200);
  team.broken = false;
});

// RFC 7515 appendix A.2: a key, and a JWS that it signed. Whether it is meant for us comes after its signature.
const RFC_KEY = {
  kty: 'RSA',
  n: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ',
  e: 'AQAB',
};
const RFC_JWS = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw';

test('the example of RFC 7515 has a good signature, and a changed one has not', async (t) => {
  const other = await startAccess();
  t.after(() => other.close());
  team.keys = [{ jwk: RFC_KEY }];
  const detail = async (jws) => (await call(jws, { to: other })).body.detail;
  assert.match(await detail(RFC_JWS), /lacks a claim/);
  assert.match(await detail(RFC_JWS.replace('eyJpc3MiOiJqb2UiLA0K', 'eyJpc3MiOiJqb3UiLA0K')), /signature/);
  team.keys = [first];
});

/**
 * What scripts may rely on with `npm start`: its ports and tokens, its one line, that it refuses clearly, and that
 * nothing of it is left when it ends, whoever ends it. What the page and the API then do is told in story.test.mjs.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FAKE_PROVIDERS } from '../run/fake-providers.mjs';
import { freePort } from './support/ports.mjs';
import { until } from './support/until.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TOKEN = 'a-token-given-from-outside';
const CLOUD_TOKEN = 'a-cloud-token-of-this-test';
/** Everything is built when this runs; the rest is starting processes, on a machine that may be busy. */
const SECOND_START_SECONDS = 60;

const running = new Set();

/** `npm start` with ports of its own; resolves at its ready line, or with how it ended instead. */
async function start(more = {}) {
  const [port, cloudPort] = [await freePort(), await freePort()];
  const env = { ...process.env, PORT: String(port), CLOUD_PORT: String(cloudPort), CLOUD_TOKEN, MAYFLY_API_TOKEN: TOKEN, ...more };
  for (const name of ['HETZNER_TOKEN', 'NODE_TEST_CONTEXT']) delete env[name];
  const npm = spawn('npm', ['start', '--silent'], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(npm);
  const it = { npm, port, cloudPort, url: `http://127.0.0.1:${port}`, cloud: `http://127.0.0.1:${cloudPort}`, out: '', err: '' };
  it.ended = new Promise((done) => npm.once('close', (code) => done(code)));
  npm.stderr.on('data', (chunk) => (it.err += chunk));
  const ready = new Promise((done) => {
    npm.stdout.on('data', (chunk) => {
      it.out += chunk;
      if (it.out.includes('\n')) done();
    });
  });
  await Promise.race([ready, it.ended]);
  return it;
}

/** Every process below this one, by the kernel's own account of parents. */
function descendants(pid) {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).trim().split('\n');
  const all = rows.map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row)).filter(Boolean);
  const found = [];
  for (const wave = [String(pid)]; wave.length > 0; ) {
    const parent = wave.pop();
    for (const [, child, itsParent, args] of all) {
      if (itsParent !== parent) continue;
      found.push({ pid: Number(child), args });
      wave.push(child);
    }
  }
  return found;
}

/** False for zombies too: they are gone, only nobody has asked after them. */
function isAlive({ pid }) {
  try {
    return !execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim().startsWith('Z');
  } catch {
    return false;
  }
}

async function assertAllGone(processes) {
  await until(`these are gone: ${processes.map((it) => it.args.slice(0, 60)).join(' | ')}`, () => !processes.some(isAlive));
}

/** The processes of a running start; without these the checks of their end would prove nothing. */
function parts(it) {
  const found = descendants(it.npm.pid);
  for (const name of ['fake-cloud', 'wrangler', 'workerd']) {
    assert.ok(found.some(({ args }) => args.includes(name)), `${name} is among the children`);
  }
  return found;
}

let first;
before(async () => {
  first = await start();
});
after(async () => {
  for (const npm of running) npm.kill('SIGTERM');
  await Promise.all([...running].map((npm) => npm.exitCode ?? npm.signalCode ?? new Promise((done) => npm.once('exit', done))));
});

test('it prints one line, on the ports and with the token that were asked for, and then everything answers', async () => {
  assert.equal(first.out, `ready ${first.url}  token ${TOKEN}\n`, first.err);
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  const health = await (await fetch(`${first.url}/healthz`)).json();
  assert.equal(health.simulation, true);
  assert.equal((await fetch(`${first.url}/vms`, bearer(TOKEN))).status, 200);
  assert.equal((await fetch(`${first.url}/vms`, bearer('another-token-altogether'))).status, 401);
  assert.match(await (await fetch(`${first.url}/`)).text(), /<html/);
  assert.equal((await fetch(`${first.cloud}/v1/servers`, bearer(CLOUD_TOKEN))).status, 200);
  assert.equal((await fetch(`${first.cloud}/v1/servers`, bearer('wrong'))).status, 401);
});

test('no argument of a process holds the API token', () => {
  const rows = execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' });
  assert.ok(rows.includes('workerd'));
  assert.equal(rows.includes(TOKEN), false);
});

test('a port in use is named, and nothing is started', async () => {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  try {
    const { port } = server.address();
    const it = await start({ PORT: String(port) });
    assert.equal(await it.ended, 1);
    assert.match(it.err, new RegExp(`port ${port} is not free .* set PORT`));
    assert.equal(it.out, '');
  } finally {
    server.close();
  }
});

test('a fake that there is not is named, with those that there are', async () => {
  const it = await start({ FAKE_PROVIDERS: 'hetzner,atlantis' });
  assert.equal(await it.ended, 1);
  assert.match(it.err, /FAKE_PROVIDERS: there is no fake of atlantis; there are hetzner, /);
  assert.equal(it.out, '');
});

test('FAKE_PROVIDERS says which providers are there', async () => {
  const names = FAKE_PROVIDERS;
  const it = await start({ FAKE_PROVIDERS: names.join(',') });
  assert.match(it.out, /^ready /, it.err);
  const options = await fetch(`${it.url}/options`, { headers: { authorization: `Bearer ${TOKEN}` } });
  const { providers, errors } = await options.json();
  assert.deepEqual([providers.map((it) => it.name).sort(), errors], [[...names].sort(), []]);
  it.npm.kill('SIGTERM');
  await it.ended;
});

test('a part that dies ends everything, with a message', async () => {
  const it = await start();
  const processes = parts(it);
  process.kill(processes.find(({ args }) => args.includes('fake-cloud')).pid, 'SIGKILL');
  assert.equal(await it.ended, 1);
  assert.match(it.err, /the fake cloud ended \(SIGKILL\)/);
  await assertAllGone(processes);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL']) {
  test(`${signal} to npm leaves no process behind`, async () => {
    const since = Date.now();
    const it = await start();
    assert.match(it.out, /^ready /, it.err);
    const seconds = (Date.now() - since) / 1000;
    assert.ok(seconds < SECOND_START_SECONDS, `started in ${seconds} s`);
    const processes = parts(it);
    it.npm.kill(signal);
    await it.ended;
    await assertAllGone(processes);
    await assert.rejects(fetch(`${it.url}/healthz`));
    await assert.rejects(fetch(`${it.cloud}/_fake/state`));
  });
}

test('without a token of ours one is made, and kept for the next start', async () => {
  const tokens = [];
  for (let round = 0; round < 2; round += 1) {
    const it = await start({ MAYFLY_API_TOKEN: '' });
    tokens.push(/token (\S+)\n$/.exec(it.out)?.[1]);
    it.npm.kill('SIGTERM');
    await it.ended;
  }
  assert.match(tokens[0] ?? '', /^[\w-]{32}$/);
  assert.equal(tokens[0], tokens[1]);
});

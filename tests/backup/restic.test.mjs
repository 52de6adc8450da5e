/**
 * restic itself against the Worker in workerd with a bucket: everything that a backup's life has, clients that are killed,
 * clients side by side, what other capabilities reach, and memory. What each answer says is tested natively
 * (tests/api/backup.rs). BACKUP_BYTES is the size of the tree.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startWorker } from '../e2e/support/worker.mjs';
import { until } from '../e2e/support/until.mjs';
import { cacheDir } from '../run/prepare.mjs';
import { RESTIC, capability, client, plant, survey, workerdMib } from './support.mjs';

const BYTES = Number(process.env.BACKUP_BYTES ?? 48_000_000);
/** The smallest test has several packs, too. */
const PACK_MIB = BYTES >= 1e9 ? 32 : 8;
const OURS = 'ann/github.com~octo~Hello-World';
const V2 = 'application/vnd.x.restic.rest.v2';
/** For the test of memory: bodies, how many at once, and what they may add to workerd's; held whole they would add 340. */
const LARGE_BYTES = 90_000_000;
const AT_ONCE = 4;
const GROWTH_MIB = 220;
const missing = spawnSync(RESTIC, ['version']).error ? `no restic here: set RESTIC_BIN to one (${RESTIC})` : false;

let worker;
let dir;
let restic;
const options = { skip: missing };

before(async () => {
  if (missing) return;
  dir = mkdtempSync(join(cacheDir(), 'backup-'));
  worker = await startWorker({ vars: { HETZNER_TOKEN: 'a-token-that-nobody-asks-for' }, bucket: true });
  restic = await client(join(dir, 'one'), worker.url, OURS, 'backup', PACK_MIB);
  await mkdir(join(dir, 'tree'));
  await plant(join(dir, 'tree'), BYTES);
});
after(async () => {
  await worker?.close();
  if (dir) await rm(dir, { recursive: true, force: true });
});

const basic = (scope, workspace = OURS) => ({ authorization: `Basic ${btoa(`mayfly:${capability(scope, workspace)}`)}` });
/** A connection of its own: while this process hashes for seconds, the other end closes those that wait to be used again. */
const ask = (method, path, scope, { headers = {}, body, workspace } = {}) =>
  fetch(`${worker.url}/vm/backup/${path}`, { method, body, headers: { connection: 'close', ...basic(scope, workspace), ...headers } });

async function names(kind) {
  const answer = await ask('GET', `${OURS}/${kind}/`, 'backup', { headers: { accept: V2 } });
  assert.equal(answer.headers.get('content-type'), V2);
  return (await answer.json()).map((it) => it.name);
}

async function ok(running) {
  const { code, out } = await running;
  assert.equal(code, 0, out);
  return out;
}

/** Snapshots that the newest `restic snapshots` shows. */
const snapshots = async () => JSON.parse(await ok(restic(['snapshots', '--json'])));

async function comesBack(tree, snapshot) {
  const target = join(dir, 'back');
  await ok(restic(['restore', snapshot, '--target', target]));
  assert.deepEqual(await survey(join(target, tree)), await survey(tree));
  await rm(target, { recursive: true, force: true });
}

test('a backup that is killed in the middle loses nothing, and the next one goes on', options, async () => {
  await ok(restic(['init']));
  assert.notEqual((await restic(['init'])).code, 0, 'a repository is made once');
  const killed = restic(['backup', join(dir, 'tree'), '--limit-upload', '6000'], { started: true });
  await until('a pack is stored', async () => (await names('data')).length > 0, { timeoutMs: 60_000 });
  killed.child.kill('SIGKILL');
  assert.equal((await killed.ended).code, null);
  assert.equal((await snapshots()).length, 0, 'it was in the middle');
  assert.equal((await names('locks')).length, 1, 'its lock is left');
  await ok(restic(['unlock']));
  assert.deepEqual(await names('locks'), []);
  await ok(restic(['backup', join(dir, 'tree')]));
  assert.match(await ok(restic(['check', '--read-data'])), /no errors were found/);
});

test('the tree comes back: every byte, mode, owner, time and link', options, async () => {
  await comesBack(join(dir, 'tree'), 'latest');
});

test('two clients back up at once, and neither disturbs the other', options, async () => {
  const two = await client(join(dir, 'two'), worker.url, OURS, 'backup', PACK_MIB);
  const trees = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const tree = join(dir, `tree-${name}`);
      await mkdir(tree);
      await plant(tree, Math.min(BYTES / 4, 50_000_000));
      return tree;
    }),
  );
  await Promise.all([ok(restic(['backup', trees[0]])), ok(two(['backup', trees[1]]))]);
  assert.equal((await snapshots()).length, 3);
  assert.match(await ok(two(['check'])), /no errors were found/);
  for (const tree of trees) {
    await comesBack(tree, (await snapshots()).find((it) => it.paths[0] === tree).id);
    await rm(tree, { recursive: true });
  }
});

test('only the token for pruning takes old backups away', options, async () => {
  const before = await names('data');
  // Not by restic, which would try again and again.
  for (const kind of ['data', 'index', 'keys', 'snapshots']) {
    const [name] = await names(kind);
    assert.equal((await ask('DELETE', `${OURS}/${kind}/${name}`, 'backup')).status, 403, kind);
  }
  assert.deepEqual(await names('data'), before);
  assert.equal((await snapshots()).length, 3);
  const pruner = await client(join(dir, 'pruner'), worker.url, OURS, 'prune', PACK_MIB);
  const tree = join(dir, 'tree');
  await writeFile(join(tree, 'later'), 'one more file');
  await ok(restic(['backup', tree]));
  await ok(pruner(['forget', '--keep-last', '1', '--group-by', '', '--prune', '--max-unused', '0']));
  assert.equal((await snapshots()).length, 1);
  assert.ok((await names('data')).length < before.length, 'packs of the others are gone');
  assert.match(await ok(restic(['check', '--read-data'])), /no errors were found/);
  await comesBack(tree, 'latest');
});

/** A request whose path nobody tidies up on its way. Resolves to the status. */
function raw(method, path, scope) {
  const { hostname, port, host } = new URL(worker.url);
  const { authorization } = basic(scope);
  const socket = connect(Number(port), hostname);
  socket.end(`${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${authorization}\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret`);
  return new Promise((done, failed) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => (text += chunk));
    socket.on('error', failed).on('close', () => done(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])));
  });
}

test('a token of another workspace gets 403 on every path, and path tricks find nothing', options, async () => {
  const [pack] = await names('data');
  const victim = 'bob/github.com~octo~Hello-World';
  const config = await ask('POST', `${victim}/config`, 'backup', { workspace: victim, body: 'secret' });
  assert.equal(config.status, 200);
  const before = { data: await names('data'), keys: await names('keys') };
  for (const scope of ['backup', 'prune']) {
    for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
      for (const rest of ['', 'config', 'data/', `data/${pack}`, `locks/${pack}`, 'keys/', 'other']) {
        const body = method === 'POST' ? 'secret' : undefined;
        const answer = await ask(method, `${victim}/${rest}`, scope, { body });
        assert.equal(answer.status, 403, `${scope} ${method} ${rest}`);
      }
      for (const path of [
        `/vm/backup/${OURS}/../../${victim}/config`,
        `/vm/backup/${OURS}/%2e%2e/%2e%2e/${victim}/config`,
        `/vm/backup/${OURS}/..%2f..%2f${victim}/config`,
        `/vm/backup/${OURS}/..\\..\\${victim}/config`,
        `/vm/backup//${victim}/config`,
        `/vm/backup/${OURS}//config`,
        `/vm/backup/${OURS}/data//${pack}`,
        `/vm/backup/${OURS}/data/${pack.toUpperCase()}`,
        `/vm/backup/${OURS}/data/%${pack.charCodeAt(0).toString(16)}${pack.slice(1)}`,
        `/vm/backup/${OURS}/%63onfig`,
        `/vm/backup/${OURS}/config%00`,
        `/vm/backup/${OURS}/config/`,
        `/vm/%62ackup/${victim}/config`,
        `/VM/backup/${victim}/config`,
      ]) {
        // `..\` and `..` are gone before the Worker sees the path, which then names another workspace or nothing.
        assert.ok([400, 403, 404].includes(await raw(method, path, scope)), `${scope} ${method} ${path}`);
      }
    }
  }
  assert.deepEqual({ data: await names('data'), keys: await names('keys') }, before);
  assert.equal(await (await ask('GET', `${victim}/config`, 'backup', { workspace: victim })).text(), 'secret');
});

test('a body over 95 MB gets 413, announced before it is sent', options, async () => {
  const answer = await ask('POST', `${OURS}/data/${'0'.repeat(64)}`, 'backup', { body: Buffer.alloc(95_000_001) });
  assert.equal(answer.status, 413);
  assert.equal((await answer.json()).code, 'body_too_long');
});

test('an upload that breaks off stores nothing', options, async () => {
  const body = randomBytes(1_000_000);
  const name = createHash('sha256').update(body).digest('hex');
  const { hostname, port, host } = new URL(worker.url);
  const socket = connect(Number(port), hostname);
  const { authorization } = basic('backup');
  socket.write(`POST /vm/backup/${OURS}/data/${name} HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${authorization}\r\ncontent-length: 1000000\r\n\r\n`);
  await new Promise((sent) => socket.write(body.subarray(0, 700_000), sent));
  socket.destroy();
  const whole = await ask('POST', `${OURS}/data/${name}`, 'backup', { body });
  assert.deepEqual(await whole.json(), { created: true });
  const back = await ask('GET', `${OURS}/data/${name}`, 'backup');
  assert.ok(body.equals(Buffer.from(await back.arrayBuffer())));
});

test('memory stays flat while large packs stream in and out', options, async (t) => {
  const workspace = 'ann/memory';
  const one = async (nth, bytes) => {
    const body = Buffer.alloc(bytes, `pack ${nth} `);
    const name = createHash('sha256').update(body).digest('hex');
    const path = `${workspace}/data/${name}`;
    const stored = await ask('POST', path, 'backup', { workspace, body });
    assert.deepEqual(await stored.json(), { created: true });
    const hash = createHash('sha256');
    const back = await ask('GET', path, 'backup', { workspace });
    for await (const chunk of back.body) hash.update(chunk);
    assert.equal(hash.digest('hex'), name);
    await ask('DELETE', path, 'prune', { workspace });
  };
  // What is allocated once, is there after the first.
  for (let nth = 0; nth < 3; nth += 1) await one(nth, 8_000_000);
  const idle = await workerdMib();
  let peak = idle;
  const watch = setInterval(async () => (peak = Math.max(peak, await workerdMib())), 100);
  const rounds = Math.max(1, Math.round(BYTES / LARGE_BYTES / AT_ONCE));
  try {
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, nth) => one(round * AT_ONCE + nth, LARGE_BYTES)));
    }
  } finally {
    clearInterval(watch);
  }
  const told = `workerd: ${Math.round(idle)} MiB before, ${Math.round(peak)} at the most while ${rounds} × ${AT_ONCE} × 90 MB went in and out`;
  t.diagnostic(told);
  assert.ok(idle > 0 && peak - idle < GROWTH_MIB, told);
});

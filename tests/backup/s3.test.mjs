/**
 * The VM's side without an R2 bucket: restic speaks to an object store itself, and the Worker lists and forgets what is there
 * with the same key. The store is moto's S3 with signatures checked (s3.py), so neither end is ours. What restic's own life has
 * is restic.test.mjs's business.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeCloud } from '../e2e/support/cloud.mjs';
import { startWorker } from '../e2e/support/worker.mjs';
import { until } from '../e2e/support/until.mjs';
import { whyNoMoto } from '../e2e/support/aws.mjs';
import { cacheDir } from '../run/prepare.mjs';
import { REPO, machine, missing } from './machine.mjs';
import { RESTIC, capability } from './support.mjs';

const PLACE = 'mayfly/default/github.com~octocat~Hello-World/';
const reason = missing || whyNoMoto();
const options = { skip: reason };

let cloud;
let store;
let worker;
let root;
let bin;
let boot, backup, work, workspace, everything, tidiesOnce;

before(async () => {
  if (reason) return;
  root = mkdtempSync(join(cacheDir(), 's3-'));
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  store = await startStore();
  const vars = {
    ...cloud.vars, BACKUP_KEY: 'a-backup-key-for-tests-0123456789', BACKUP_S3_ENDPOINT: store.url, BACKUP_S3_BUCKET: store.bucket,
    BACKUP_S3_ACCESS_KEY_ID: store.key.id, BACKUP_S3_SECRET_ACCESS_KEY: store.key.secret,
  };
  worker = await startWorker({ vars });
  const it = machine({ cloud, worker, root });
  ({ boot, work, workspace, everything, tidiesOnce } = it);
  // Everything that restic is called with, and then restic.
  bin = mkdtempSync(join(cacheDir(), 's3-bin-'));
  const real = spawnSync('sh', ['-c', `command -v ${RESTIC}`], { encoding: 'utf8' }).stdout.trim();
  await writeFile(join(bin, 'restic'), `#!/bin/sh\nprintf '%s\\n' "$*" >>"${bin}/calls"\nexec "${real}" "$@"\n`);
  await chmod(join(bin, 'restic'), 0o755);
  backup = (what) => it.backup(what, { path: bin });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  await store?.close();
  for (const dir of [root, bin].filter(Boolean)) await rm(dir, { recursive: true, force: true });
});

/** moto's S3 with a bucket and a key for it; ends with this process. */
async function startStore() {
  const python = process.env.MOTO_PYTHON ?? 'python3';
  const child = spawn(python, ['-u', fileURLToPath(new URL('s3.py', import.meta.url))], { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const told = await next();
  return {
    ...told,
    keys: () => {
      child.stdin.write('keys\n');
      return next();
    },
    close: () => {
      const gone = new Promise((done) => child.once('close', done));
      child.stdin.end();
      return gone;
    },
  };
}

const kept = {};

test('work goes to the store without the Worker between, and comes back on the next VM', options, async () => {
  assert.equal((await worker.api('GET', '/options')).body.backups, 's3');
  const first = await boot();
  assert.equal(first.secrets.backup_s3_secret, store.key.secret);
  assert.equal((await backup('restore')).code, 75, 'there is nothing to put back yet');
  await work();
  kept.tree = await everything();
  const saved = await backup('last');
  assert.equal(saved.code, 0, saved.out);
  assert.match(saved.out, /verified/);
  assert.ok((await store.keys()).filter((it) => it.startsWith(`${PLACE}data/`)).length > 0);
  await boot({ repo_url: 'git@github.com:octocat/Hello-World.git' });
  const restored = await backup('restore');
  assert.equal(restored.code, 0, restored.out);
  assert.deepEqual(await everything(), kept.tree);
});

test('the key is in no user data, argument, log or file but the one of root', options, async () => {
  const { secret } = store.key;
  const { userData } = await boot({ git_token: 'so-that-something-is-sealed' });
  assert.equal((await backup('restore')).code, 0);
  const forms = [secret, btoa(secret), Buffer.from(secret).toString('hex')];
  const holds = (text) => forms.some((it) => text.includes(it));
  const holders = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (holds(await readFile(path, 'latin1'))) holders.push(path.slice(root.length));
  }
  assert.deepEqual(holders, ['/etc/mayfly/secrets/backup_s3_secret']);
  const calls = await readFile(join(bin, 'calls'), 'utf8');
  assert.match(calls, /^restore /m);
  for (const text of [userData, calls, JSON.stringify(worker.logs())]) assert.ok(!holds(text));
});

test('the Worker lists what is there, an older backup can be named, and one that is not there cannot', options, async () => {
  await writeFile(join(workspace(), 'more'), 'more');
  assert.equal((await backup('last')).code, 0);
  const { body } = await worker.api('GET', '/workspaces');
  assert.deepEqual(body.workspaces.map((it) => it.repository), ['github.com/octocat/Hello-World']);
  const [{ snapshots, size_bytes: bytes }] = body.workspaces;
  assert.equal(snapshots.length, 2);
  // Random bytes are not made smaller.
  assert.ok(bytes > 2_000_000 && bytes < 4_000_000, String(bytes));
  await boot({ restore: snapshots[0].id });
  assert.equal((await backup('restore')).code, 0);
  assert.deepEqual(await everything(), kept.tree);
  const refused = await worker.api('POST', '/vms', { repo_url: REPO, restore: '0'.repeat(64) });
  assert.deepEqual([refused.status, refused.body.errors.map((it) => it.field)], [400, ['restore']]);
});

test('old backups go once a day, whoever asks', options, async () => {
  await tidiesOnce();
});

test('a store that refuses is no empty one: nothing passes for saved, or for never saved', options, async () => {
  await boot();
  await writeFile(join(root, 'etc/mayfly/secrets/backup_s3_secret'), 'a key that was changed meanwhile');
  const restored = await backup('restore');
  assert.equal(restored.code, 1, restored.out);
  await mkdir(workspace(), { recursive: true });
  const saved = await backup('last');
  assert.equal(saved.code, 1, saved.out);
  assert.doesNotMatch(saved.out, /a key that was changed/);
});

test('the Worker’s own way to a bucket is closed', options, async () => {
  const token = capability('backup', 'default/github.com~octocat~Hello-World');
  const answer = await fetch(`${worker.url}/vm/backup/default/github.com~octocat~Hello-World/config`, {
    headers: { authorization: `Basic ${btoa(`mayfly:${token}`)}` },
  });
  assert.deepEqual([answer.status, (await answer.json()).code], [404, 'backups_not_configured']);
});

test('a workspace that is forgotten is gone, and the next VM begins anew', options, async () => {
  const forget = async () => (await worker.api('DELETE', '/workspaces/github.com~octocat~Hello-World')).body;
  assert.equal((await forget()).already_gone, false);
  assert.deepEqual(await store.keys(), []);
  assert.equal((await forget()).already_gone, true);
  await boot();
  assert.equal((await backup('restore')).code, 75);
});

test('a key that the store does not know is told in the log, and not as an empty list', options, async () => {
  const vars = {
    ...cloud.vars, BACKUP_KEY: 'a-backup-key-for-tests-0123456789', BACKUP_S3_ENDPOINT: store.url, BACKUP_S3_BUCKET: store.bucket,
    BACKUP_S3_ACCESS_KEY_ID: store.key.id, BACKUP_S3_SECRET_ACCESS_KEY: 'another-key-than-the-one-there-is',
  };
  const other = await startWorker({ vars });
  try {
    const answer = await other.api('GET', '/workspaces');
    assert.deepEqual([answer.status, answer.body.code], [502, 'bucket_failed']);
    const line = () => other.logs().map((it) => it.message).find((it) => it.includes('"event":"bucket"'));
    await until('the log has a line of it', line);
    assert.match(JSON.parse(line()).detail, /^S3 answered 403 \w+$/);
  } finally {
    await other.close();
  }
});

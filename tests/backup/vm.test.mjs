/**
 * The VM's side against the Worker: a VM works, saves and ends; the next one of the same owner and repository has its work
 * back, and nobody else's has. The scripts are the VM's own (cloud-init/workspace/backup.py), below a folder in place of /.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeCloud } from '../e2e/support/cloud.mjs';
import { startWorker } from '../e2e/support/worker.mjs';
import { cacheDir } from '../run/prepare.mjs';
import { RESTIC, plant, survey } from './support.mjs';

const SCRIPTS = fileURLToPath(new URL('../../cloud-init/', import.meta.url));
const REPO = 'https://github.com/octocat/Hello-World';
const ANNS = 'a-token-of-anns-for-tests';
const missing =
  [RESTIC, 'python3', 'git'].filter((it) => spawnSync(it, ['--version']).error).map((it) => `no ${it} here`)[0] ?? false;
const options = { skip: missing };

let cloud;
let worker;
let root;

before(async () => {
  if (missing) return;
  root = mkdtempSync(join(cacheDir(), 'vm-'));
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  const digest = createHash('sha256').update(ANNS).digest('hex');
  const vars = { ...cloud.vars, BACKUP_KEY: 'a-backup-key-for-tests-0123456789', API_TOKENS: JSON.stringify({ ann: digest }) };
  worker = await startWorker({ vars, bucket: true });
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  if (root) await rm(root, { recursive: true, force: true });
});

/** Creates a VM and puts on its empty disk what its first boot would. */
async function boot(request = {}, { token } = {}) {
  const known = new Set((await cloud.state()).servers.map((it) => it.id));
  const created = await worker.api('POST', '/vms', { repo_url: REPO, ...request }, { token });
  assert.equal(created.status, 201, JSON.stringify(created.body));
  const server = (await cloud.state()).servers.find((it) => !known.has(it.id));
  const machine = machineOf(await (await fetch(`${cloud.url}/_fake/servers/${server.id}/user-data`)).text());
  const exchange = await fetch(`${worker.url}/vm/boot`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${machine.capability}`,
      'cf-connecting-ip': server.public_net.ipv4.ip,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ sealed: machine.sealed }),
  });
  const secrets = await exchange.json();
  assert.equal(exchange.status, 200, JSON.stringify(secrets));
  await rm(root, { recursive: true, force: true });
  const put = async (path, text) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o600 });
  };
  await put('etc/mayfly/vm.json', JSON.stringify({ ...machine, worker: worker.url }));
  await put('etc/mayfly/values/repo_name', 'Hello-World');
  for (const name of ['backup_password', 'restore']) await put(`etc/mayfly/secrets/${name}`, secrets[name]);
  await mkdir(join(root, 'var/lib/mayfly'), { recursive: true });
  return { id: created.body.vm.id, secrets, machine };
}

/** The VM's description, from its user data. */
function machineOf(userData) {
  const [, json] = /path: \/etc\/mayfly\/vm\.json\n.*\n\s+content: (".*")\n/.exec(userData);
  return JSON.parse(JSON.parse(json));
}

/** Runs the VM's script as a VM does. Resolves to its exit status and what it said. */
function backup(what) {
  const env = {
    PATH: process.env.PATH,
    MAYFLY_ROOT: root,
    PYTHONPATH: `${SCRIPTS}vm`,
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const child = spawn('python3', [`${SCRIPTS}workspace/backup.py`, what], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (out += chunk));
  return new Promise((done) => child.on('close', (code) => done({ code, out })));
}

const workspace = () => join(root, 'workspaces/Hello-World');
const claude = () => join(root, 'home/dev/.claude');

/** Somebody's work: commits, changes, a conversation, a login. */
async function work() {
  await mkdir(workspace(), { recursive: true });
  const git = (...args) => assert.equal(spawnSync('git', ['-C', workspace(), '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]).status, 0);
  git('init', '-q', '-b', 'main');
  await plant(workspace(), 2_000_000);
  git('add', 's0');
  git('commit', '-qm', 'some');
  await mkdir(join(claude(), 'projects/-workspaces-Hello-World'), { recursive: true });
  await writeFile(join(claude(), 'projects/-workspaces-Hello-World/session.jsonl'), '{"type":"user"}\n');
  await writeFile(join(claude(), '.credentials.json'), 'a login made by hand', { mode: 0o600 });
}

const everything = async () => [...(await survey(workspace())), ...(await survey(claude()))];

/** What the newest test keeps for those after it. */
const kept = {};

test('the work of a VM that is gone is there on the next one of the same owner and repository', options, async () => {
  const first = await boot();
  assert.equal((await backup('restore')).code, 75, 'there is nothing to put back yet');
  await work();
  kept.tree = await everything();
  const saved = await backup('last');
  assert.equal(saved.code, 0, saved.out);
  assert.match(saved.out, /verified/);
  assert.equal((await worker.api('DELETE', `/vms/${first.id}`)).status, 200);

  const second = await boot({ repo_url: 'git@github.com:octocat/Hello-World.git' });
  assert.notEqual(second.machine.vm, first.machine.vm);
  assert.equal(second.secrets.backup_password, first.secrets.backup_password);
  const restored = await backup('restore');
  assert.equal(restored.code, 0, restored.out);
  assert.deepEqual(await everything(), kept.tree);
});

test('old backups go by the token for it, which is given once a day', options, async () => {
  await writeFile(join(workspace(), 'more'), 'more');
  const tidied = await backup('tick');
  assert.equal(tidied.code, 0, tidied.out);
  assert.match(tidied.out, /tidied/);
  await rm(join(root, 'var/lib/mayfly/backup.json'));
  const again = await backup('tick');
  assert.equal(again.code, 0, again.out);
  assert.doesNotMatch(again.out, /tidied/);
});

test('no secret of a backup is anywhere but in files of root, and in no answer but the exchange', options, async () => {
  const password = await readFile(join(root, 'etc/mayfly/secrets/backup_password'), 'utf8');
  const { token } = JSON.parse(await readFile(join(root, 'run/mayfly/backup/token.json'), 'utf8'));
  const holders = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, 'latin1');
    const found = [password, token].some((it) => [it, btoa(it), Buffer.from(it).toString('hex')].some((form) => text.includes(form)));
    if (found) holders.push(path.slice(root.length));
  }
  assert.deepEqual(holders.sort(), ['/etc/mayfly/secrets/backup_password', '/run/mayfly/backup/repository', '/run/mayfly/backup/token.json']);
  const logs = JSON.stringify(worker.logs());
  for (const secret of [password, token]) assert.ok(!logs.includes(secret), 'a log line holds a secret');
});

test('another owner of the same repository has a repository of their own', options, async () => {
  const anns = await boot({}, { token: ANNS });
  const mine = await boot();
  assert.notEqual(anns.secrets.backup_password, mine.secrets.backup_password);
  await boot({}, { token: ANNS });
  const nothing = await backup('restore');
  assert.equal(nothing.code, 75, nothing.out);
});

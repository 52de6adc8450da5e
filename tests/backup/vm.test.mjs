/**
 * The VM's side against the Worker: a VM works, saves and ends; the next one of the same owner and repository has its work
 * back, and nobody else's has. The scripts are the VM's own (cloud-init/workspace/backup.py), below a folder in place of /.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startFakeCloud } from '../e2e/support/cloud.mjs';
import { startWorker } from '../e2e/support/worker.mjs';
import { cacheDir } from '../run/prepare.mjs';
import { REPO, machine, missing } from './machine.mjs';

const ANNS = 'a-token-of-anns-for-tests';
const options = { skip: missing };

let cloud;
let worker;
let root;
let boot, backup, work, workspace, everything, tidiesOnce;

before(async () => {
  if (missing) return;
  root = mkdtempSync(join(cacheDir(), 'vm-'));
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  const digest = createHash('sha256').update(ANNS).digest('hex');
  const vars = { ...cloud.vars, BACKUP_KEY: 'a-backup-key-for-tests-0123456789', API_TOKENS: JSON.stringify({ ann: digest }) };
  worker = await startWorker({ vars, bucket: true });
  ({ boot, backup, work, workspace, everything, tidiesOnce } = machine({ cloud, worker, root }));
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  if (root) await rm(root, { recursive: true, force: true });
});

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
  await tidiesOnce();
});

test('a request says which work comes back: an older backup, none, and never one that is not there', options, async () => {
  const { body } = await worker.api('GET', '/workspaces');
  const [oldest] = body.workspaces[0].snapshots;
  assert.ok(body.workspaces[0].snapshots.length > 1, 'there is a newer one');
  await boot({ restore: oldest.id });
  const restored = await backup('restore');
  assert.equal(restored.code, 0, restored.out);
  assert.deepEqual(await everything(), kept.tree, 'the file that came later is not there');
  await boot({ restore: 'none' });
  assert.equal((await backup('restore')).code, 75);
  await assert.rejects(readdir(workspace()), 'nothing came back');
  const before = (await cloud.state()).servers.length;
  const refused = await worker.api('POST', '/vms', { repo_url: REPO, restore: '0'.repeat(64) });
  assert.deepEqual([refused.status, refused.body.errors.map((it) => it.field)], [400, ['restore']]);
  assert.equal((await cloud.state()).servers.length, before);
  await boot();
  assert.equal((await backup('restore')).code, 0);
  assert.equal(await readFile(join(workspace(), 'more'), 'utf8'), 'more');
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

test('where a server’s name holds the labels, work is saved for a repository that finds no room there, too', options, async () => {
  const its = await startWorker({ vars: { ...cloud.varsOf(['ovh']), BACKUP_KEY: 'a-backup-key-for-tests-0123456789' }, bucket: true });
  const disk = mkdtempSync(join(cacheDir(), 'vm-ovh-'));
  try {
    const vm = machine({ cloud, worker: its, root: disk, provider: 'ovh' });
    const repository = `git.example.com/${'a-group-with-a-name/'.repeat(10)}shop`;
    const request = { repo_url: `https://${repository}` };
    const first = await vm.boot(request);
    assert.equal(first.vm.repo_url, null, 'it has no room');
    await vm.work();
    const before = await vm.everything();
    const saved = await vm.backup('last');
    assert.equal(saved.code, 0, saved.out);
    const [own] = (await its.api('GET', '/workspaces')).body.workspaces;
    assert.equal(own.repository, repository);
    await vm.boot({ ...request, restore: own.snapshots[0].id });
    const restored = await vm.backup('restore');
    assert.equal(restored.code, 0, restored.out);
    assert.deepEqual(await vm.everything(), before);
  } finally {
    await its.close();
    await rm(disk, { recursive: true, force: true });
  }
});

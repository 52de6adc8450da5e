// The Git host's ssh by itself, with the real git and ssh: who gets in, to what, and what was offered.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { startGitSsh } from './git-ssh.mjs';
import { startGit } from './git.mjs';

const PORT = 19302;
const SSH_PORT = 19303;
const missing = [['git', 'version'], ['ssh', '-V']].find(([it, how]) => spawnSync(it, [how]).status !== 0)?.[0];
const run = promisify(execFile);

test('a key opens its repositories, for reading and writing, and no other', { skip: missing && `${missing} is not here` }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stand-in-ssh-'));
  const git = await startGit({ port: PORT, dir: join(dir, 'host') });
  const ssh = await startGitSsh({ host: '127.0.0.1', port: SSH_PORT, git });
  t.after(() => { git.stop(); ssh.stop(); rmSync(dir, { recursive: true, force: true }); });
  git.addRepo('shop', { token: 'sesame', files: { 'a.txt': 'one\n' } });
  git.addRepo('other', { token: 'sesame', files: { 'a.txt': 'one\n' } });
  const pair = ssh.keyPair();
  const stranger = ssh.keyPair();
  ssh.allow(pair.public, ['shop']);
  for (const [name, { private: text }] of Object.entries({ key: pair, stranger })) writeFileSync(join(dir, name), text, { mode: 0o600 });

  const way = (key) => `ssh -F none -i ${join(dir, key)} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null`;
  const by = (key, ...args) => run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t.test', ...args], { env: { ...process.env, GIT_SSH_COMMAND: way(key) } });
  const at = (name) => `ssh://git@127.0.0.1:${SSH_PORT}/${name}.git`;
  const tree = join(dir, 'tree');
  await by('key', 'clone', '-q', at('shop'), tree);
  assert.equal(readFileSync(join(tree, 'a.txt'), 'utf8'), 'one\n');
  await by('key', '-C', tree, 'commit', '-q', '--allow-empty', '-m', 'more');
  await by('key', '-C', tree, 'push', '-q', 'origin', 'HEAD:refs/heads/new');
  assert.ok('new' in git.branches('shop'));
  await assert.rejects(by('key', 'clone', '-q', at('other'), join(dir, 'no')), /Repository not found/);
  await assert.rejects(by('stranger', 'clone', '-q', at('shop'), join(dir, 'no')), /Permission denied \(publickey\)/);
  assert.deepEqual(ssh.requests.at(-1).offered, [ssh.fingerprint(stranger.private)]);
  const { stdout } = await run('sh', ['-c', `${way('key')} -p ${SSH_PORT} git@127.0.0.1 git-lfs-authenticate shop download`]);
  assert.equal(JSON.parse(stdout).href, 'https://git.test/shop/info/lfs');
});

// The Git host by itself, with the real git: private repositories, pushes, redirects, the LFS API. LFS's own client needs TLS
// in front, which the scenarios have.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { startGit } from './git.mjs';

const PORT = 19301;
const missing = ['git', 'git-lfs'].find((it) => spawnSync(it, ['version']).status !== 0);
const run = promisify(execFile);
const env = { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_GLOBAL: '/dev/null', GIT_LFS_SKIP_SMUDGE: '1' };
const git = (...args) => run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t.test', ...args], { env });

test('clones, refuses, takes pushes, redirects', { skip: missing && `${missing} is not here` }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stand-in-git-'));
  const lab = await startGit({ port: PORT, dir: join(dir, 'host') });
  t.after(() => { lab.stop(); rmSync(dir, { recursive: true, force: true }); });
  const at = (name, who = '') => `http://${who}127.0.0.1:${PORT}/${name}`;
  lab.addRepo('shop', { token: 'sesame', files: { 'a.txt': 'one\n' }, branches: { dev: { 'b.txt': 'two\n' } }, lfs: { 'big.bin': 'large' } });
  const tree = join(dir, 'tree');

  await assert.rejects(git('clone', '-q', at('shop'), tree), /could not read Username/);
  await assert.rejects(git('clone', '-q', at('shop', 'x:wrong@'), tree), /Authentication failed/);
  await assert.rejects(git('clone', '-q', at('nowhere'), tree), /not found/);
  await git('clone', '-q', '-b', 'dev', at('shop', 'x:sesame@'), tree);
  assert.equal(readFileSync(join(tree, 'b.txt'), 'utf8'), 'two\n');
  writeFileSync(join(tree, 'c.txt'), 'three\n');
  await git('-C', tree, 'add', 'c.txt');
  await git('-C', tree, 'commit', '-q', '-m', 'more');
  await git('-C', tree, 'push', '-q', 'origin', 'HEAD:refs/heads/new');
  assert.equal(lab.show('shop', 'new', 'c.txt'), 'three\n');
  assert.ok('new' in lab.branches('shop'));
  assert.deepEqual([...new Set(lab.requests.map((it) => it.token))].sort(), ['right', 'wrong', null].sort());
  assert.ok(!JSON.stringify(lab.requests).includes('sesame'));

  const oid = createHash('sha256').update('large').digest('hex');
  const authorization = `Basic ${Buffer.from('x:sesame').toString('base64')}`;
  const answer = await fetch(at('shop/info/lfs/objects/batch'), {
    method: 'POST', headers: { authorization }, body: JSON.stringify({ operation: 'download', objects: [{ oid, size: 5 }] }),
  });
  const { href } = (await answer.json()).objects[0].actions.download;
  assert.ok(href.startsWith(`https://127.0.0.1:${PORT}/shop/`));
  assert.equal(await (await fetch(href.replace('https:', 'http:'), { headers: { authorization } })).text(), 'large');

  lab.redirect('moved', 'https://10.0.0.1/x');
  const moved = await fetch(at('moved/info/refs?service=git-upload-pack'), { redirect: 'manual' });
  assert.equal(moved.headers.get('location'), 'https://10.0.0.1/x/info/refs?service=git-upload-pack');
});

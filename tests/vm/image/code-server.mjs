// code-server for the lab, from the package registry: the release page that a VM takes it from is not to be had here. Its
// native modules are compiled once, against the guest's own Node, and kept in .cache/vm-lab.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, root } from '../../run/prepare.mjs';
import { aptInstall } from '../../run/tools.mjs';

/** What the modules are compiled with. */
const HEADERS = ['build-essential', 'python3', 'libkrb5-dev', 'libxkbfile-dev', 'libx11-dev'];
/** Where a guest has it, and whose it is. */
const HOME = '/opt/mayfly-ui';
const OWNER = '1000:1000';

/**
 * A layer to be put over a guest's root.
 * @param {{guestRoot: string, say: (text: string) => void}} options `guestRoot`: the image whose Node it will run with
 */
export async function codeServer({ guestRoot, say }) {
  const version = /^CODE_SERVER_VERSION=(.*)$/m.exec(readFileSync(join(root, 'cloud-init/workspace/versions'), 'utf8'))[1];
  const dir = join(cacheDir(), 'vm-lab', `code-server-${version}`);
  if (existsSync(dir)) return dir;
  say(`building code-server ${version} for the lab (minutes, once)`);
  if (!(await aptInstall(...HEADERS))) throw Object.assign(new Error(`code-server takes ${HEADERS.join(', ')}`), { code: 'CANNOT' });
  const part = `${dir}.new`;
  rmSync(part, { recursive: true, force: true });
  const top = join(part, HOME);
  mkdirSync(join(top, 'code-server'), { recursive: true });
  mkdirSync(join(top, 'bin'));
  writeFileSync(join(top, 'code-server/package.json'), '{"private": true}');
  const node = join(guestRoot, 'opt', readdirSync(join(guestRoot, 'opt')).find((it) => it.startsWith('node-')));
  // npm as the machine has it, not as the script that started us was told to.
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('npm_')));
  Object.assign(env, { PATH: `${join(node, 'bin')}:${env.PATH}`, npm_config_nodedir: node });
  await new Promise((done, failed) => {
    const args = ['install', '--silent', '--no-audit', '--no-fund', '--prefix', join(top, 'code-server'), `code-server@${version}`];
    const child = spawn('npm', args, { env, cwd: join(top, 'code-server'), stdio: ['ignore', 2, 2] });
    child.on('error', failed);
    child.on('exit', (code) => (code === 0 ? done() : failed(new Error('code-server could not be built'))));
  });
  const entry = `${HOME}/code-server/node_modules/code-server/out/node/entry.js`;
  writeFileSync(join(top, 'bin/code-server'), `#!/bin/sh\nexec node ${entry} "$@"\n`, { mode: 0o755 });
  const owned = spawnSync('chown', ['-R', OWNER, top]);
  if (owned.status !== 0) throw new Error(`chown: ${owned.stderr}`);
  renameSync(part, dir);
  return dir;
}

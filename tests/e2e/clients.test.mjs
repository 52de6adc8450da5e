// The vendors' own Python clients against the fake cloud: what they accept is close enough to the real APIs. What each does
// is in clients/drive_<vendor>.py. They need a Python with clients/requirements.txt installed, named by CLIENTS_PYTHON; `npm test`
// makes one. Without it they are skipped, and say so.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { startFakeCloud } from './support/cloud.mjs';

const PYTHON = process.env.CLIENTS_PYTHON ?? 'python3';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here';
/** In the form of a Scaleway secret key: its client looks at it. */
const TOKEN = '11111111-1111-4111-8111-111111111111';

const CLIENTS = [
  {
    name: 'scaleway',
    module: 'scaleway',
    env: (cloud, state) => ({ SCW_URL: `${cloud.url}/scaleway`, SCW_SECRET: TOKEN, SCW_PROJECT: state.scaleway.project }),
    left: ({ scaleway: it }) =>
      [it.servers, it.volumes, it.snapshots, it.images, it.ips, it.security_groups.filter((group) => !group.project_default)],
  },
  {
    name: 'digitalocean',
    module: 'pydo',
    env: (cloud) => ({ DIGITALOCEAN_URL: `${cloud.url}/digitalocean`, DIGITALOCEAN_TOKEN: TOKEN }),
    left: ({ digitalocean: it }) => [it.droplets, it.images, it.firewalls, it.ssh_keys, it.tags],
  },
];

for (const { name, module, env, left } of CLIENTS) {
  const skip = spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0 ? false : `no ${module} here: set CLIENTS_PYTHON`;

  test(`${module} goes through a server’s life at the fake ${name}`, { skip }, async () => {
    const cloud = await startFakeCloud({ token: TOKEN, guests: false, actionMs: 50 });
    try {
      const script = fileURLToPath(new URL(`./clients/drive_${name}.py`, import.meta.url));
      const all = { PATH: process.env.PATH, KEY, ...env(cloud, await cloud.state()) };
      const { stdout } = await promisify(execFile)(PYTHON, [script], { env: all, timeout: 60_000 });
      assert.match(stdout, /^done$/m, 'it came to its end');
      const state = await cloud.state();
      assert.deepEqual(left(state), left(state).map(() => []), 'nothing is left');
    } finally {
      await cloud.close();
    }
  });
}

// Programs that the tests use: Chromium, hcloud, and Python with the vendors' clients. Found where they are; installed with apt-get, saying
// so, where this may be done; otherwise the tests that need them are left out, and counted as skipped.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheDir, root, run, say } from './prepare.mjs';

const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const CHROMIUM_PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

export function onPath(...names) {
  const dirs = (process.env.PATH ?? '').split(delimiter);
  for (const name of names) {
    const dir = dirs.find((it) => existsSync(join(it, name)));
    if (dir) return join(dir, name);
  }
  return undefined;
}

function findChromium() {
  return process.env.CHROMIUM ?? onPath(...CHROMIUM_NAMES) ?? CHROMIUM_PLACES.find((it) => existsSync(it));
}

let updated = false;
/** True if the packages are installed afterwards. Only as root, and only where there is apt-get. */
export async function aptInstall(...packages) {
  if (process.getuid?.() !== 0 || !onPath('apt-get')) return false;
  say(`apt-get install ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => run('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', ...args], { env, stdio: ['ignore', 'ignore', 2] });
  if (!updated) updated = (await apt('update')) === 0;
  return (await apt('install', '-y', '--no-install-recommends', ...packages)) === 0;
}

/** The path of Chromium, or undefined. */
export async function needChromium() {
  const found = findChromium();
  if (found) return found;
  if (await aptInstall('chromium', 'fonts-liberation')) return findChromium();
  say('no Chromium: set CHROMIUM to one to run the tests that need it');
  return undefined;
}

/** Hetzner's own client; its test skips itself where there is none. */
export async function needHcloud() {
  if (process.env.HCLOUD_BIN || onPath('hcloud')) return;
  if (!(await aptInstall('hcloud-cli'))) say('no hcloud: set HCLOUD_BIN to one to run the test that needs it');
}

/** The vendors' own Python clients, in an environment of their own in .cache/; their tests skip themselves without it. */
export async function needClients() {
  if (process.env.CLIENTS_PYTHON) return;
  const wanted = join(root, 'tests/e2e/clients/requirements.txt');
  const dir = join(cacheDir(), 'clients');
  const stamp = join(dir, 'installed');
  const python = join(dir, 'bin/python');
  const version = createHash('sha256').update(readFileSync(wanted)).digest('hex');
  const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === version;
  if (!isInstalled() && has('python3', '--version')) {
    say('python clients of DigitalOcean, OVHcloud and Scaleway, into .cache/clients');
    const make = () => run('python3', ['-m', 'venv', dir]);
    // Debian keeps the part that makes environments in a package of its own.
    let code = await make();
    if (code !== 0 && (await aptInstall('python3-venv'))) code = await make();
    if (code === 0) code = await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', wanted]);
    if (code === 0) writeFileSync(stamp, version);
  }
  if (isInstalled()) process.env.CLIENTS_PYTHON = python;
  else say('no Python clients: set CLIENTS_PYTHON to a Python that has them to run the tests that need them');
}

export function has(command, ...args) {
  const { error, status } = spawnSync(command, args, { stdio: 'ignore' });
  return !error && status === 0;
}

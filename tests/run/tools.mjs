// Programs from the system that the tests use: Chromium and hcloud. Found where they are; installed with apt-get, saying
// so, where this may be done; otherwise the tests that need them are left out, and counted as skipped.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, say } from './prepare.mjs';

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

export function has(command, ...args) {
  const { error, status } = spawnSync(command, args, { stdio: 'ignore' });
  return !error && status === 0;
}

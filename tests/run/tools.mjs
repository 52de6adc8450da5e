// Programs that the tests use: Chromium, hcloud and restic from the system, the vendors' clients and moto from Python's packages,
// Claude Code from npm's. Found where they are; installed, saying so, where this may be done; otherwise the tests that need them
// are left out, and counted as skipped.
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

/** The client of the backup store; its tests skip themselves where there is none. */
export async function needRestic() {
  if (process.env.RESTIC_BIN || onPath('restic')) return;
  if (!(await aptInstall('restic'))) say('no restic: set RESTIC_BIN to one to run the tests that need it');
}

/** Claude Code as VMs install it; its tests skip themselves where there is none. */
export async function needClaude() {
  if (process.env.CLAUDE_BIN) return;
  const [, version] = /^CLAUDE_CODE_VERSION=(.*)$/m.exec(readFileSync(join(root, 'cloud-init/workspace/versions'), 'utf8'));
  const name = `@anthropic-ai/claude-code-${process.platform}-${process.arch}`;
  const home = join(cacheDir(), 'claude', version);
  const program = join(home, 'node_modules', name, 'claude');
  if (!existsSync(program)) {
    say(`Claude Code ${version}, into .cache/claude`);
    await run('npm', ['install', '--prefix', home, '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', `${name}@${version}`]);
  }
  if (existsSync(program)) process.env.CLAUDE_BIN = program;
  else say('no Claude Code: set CLAUDE_BIN to one to run the test that needs it');
}

/** The vendors' own Python clients; their tests skip themselves without them. */
export async function needClients() {
  const wanted = join(root, 'tests/e2e/clients/requirements.txt');
  const version = createHash('sha256').update(readFileSync(wanted)).digest('hex');
  await needPython('CLIENTS_PYTHON', 'clients', 'Python clients of DigitalOcean, OVHcloud and Scaleway', ['-r', wanted], version);
}

const MOTO = ['moto[server,ec2]==5.2.5', 'boto3==1.44.5'];

/** Simulates AWS; its test skips itself where there is none. */
export async function needMoto() {
  await needPython('MOTO_PYTHON', 'moto', MOTO.join(' and '), MOTO, MOTO.join());
}

/**
 * A Python with packages of its own, in an environment in .cache/<dir>; its path goes into `variable`, where it is taken from
 * if it is given.
 * @param {string[]} wanted as pip takes them @param {string} version of all of them: another one is installed anew
 */
async function needPython(variable, dir, title, wanted, version) {
  if (process.env[variable]) return;
  const home = join(cacheDir(), dir);
  const stamp = join(home, 'installed');
  const python = join(home, 'bin/python');
  const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === version;
  if (!isInstalled() && has('python3', '--version')) {
    say(`${title}, into .cache/${dir}`);
    const make = () => run('python3', ['-m', 'venv', '--clear', home]);
    // Debian keeps the part that makes environments in a package of its own.
    let code = await make();
    if (code !== 0 && (await aptInstall('python3-venv'))) code = await make();
    if (code === 0) code = await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...wanted]);
    if (code === 0) writeFileSync(stamp, version);
  }
  if (isInstalled()) process.env[variable] = python;
  else say(`no ${title}: set ${variable} to a Python that has them to run the tests that need them`);
}

export function has(command, ...args) {
  const { error, status } = spawnSync(command, args, { stdio: 'ignore' });
  return !error && status === 0;
}

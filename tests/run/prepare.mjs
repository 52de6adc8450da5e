// What every npm script needs before it can work: the pinned tools in node_modules, a Node that wrangler accepts, and
// an environment in which no tool asks or reports anything. Runs on plain Node 20 in a fresh clone, so it imports
// nothing from node_modules. What is particular to starting or testing is in start.mjs and tools.mjs.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(fileURLToPath(import.meta.url), '../../..');
export const bin = join(root, 'node_modules/.bin');
export const targetDir = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
/** The oldest Node that wrangler 4 runs on. */
const NODE = [22, 12];

/** Wrangler and miniflare without questions, usage reports and look-ups of the caller's location. */
const QUIET = {
  CI: '1',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

/** The environment for tools: quiet, with the pinned ones first on the PATH. */
export function toolEnv(more = {}) {
  return { ...process.env, ...QUIET, PATH: [bin, pathWithoutModules()].join(delimiter), ...more };
}

/** Progress goes to stderr; stdout is for what a script is asked for. */
export function say(text) {
  process.stderr.write(`mayfly: ${text}\n`);
}

/** Runs a script's main function; an error ends the script with its message alone. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    say(error.message);
    process.exit(1);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
let atSignal = (signal) => process.exit(128 + constants.signals[signal]);
for (const signal of SIGNALS) process.on(signal, () => atSignal(signal));

// npm killed by force forwards nothing; its script is then handed to another parent.
const parent = process.ppid;
if (process.env.npm_lifecycle_event) {
  setInterval(() => {
    if (process.ppid !== parent) atSignal('SIGTERM');
  }, 250).unref();
}

/** What to do at SIGINT, SIGTERM and SIGHUP, instead of just ending. */
export function onSignal(handler) {
  atSignal = handler;
}

/** Runs a command with its output shown (on stderr), and resolves to its exit code. It does not outlive this process. */
export function run(command, args, options = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 2, 2], detached: true, ...options });
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It has ended already.
    }
  };
  process.once('exit', kill);
  return new Promise((done) => {
    const end = (code) => {
      process.off('exit', kill);
      done(code);
    };
    child.on('error', (error) => {
      say(`${command}: ${error.code === 'ENOENT' ? 'not found' : error.message}`);
      end(127);
    });
    child.on('exit', (code, signal) => end(code ?? (signal ? 128 : 1)));
  });
}

/** `npm ci`, if package-lock.json is not the one that node_modules was made from. */
async function installModules() {
  const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
  const stamp = join(root, 'node_modules/.mayfly-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('npm ci (the pinned tools)');
  // Without node_modules on the PATH: npm must not run on the Node that it is about to replace.
  const env = { ...process.env, PATH: pathWithoutModules() };
  const code = await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { env });
  if (code !== 0) throw new Error('npm ci failed; its reason is above');
  writeFileSync(stamp, lock);
}

/** Goes on under the Node of node_modules where the system's is too old. Returns only in a Node that is new enough. */
async function needNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE[0] || (major === NODE[0] && minor >= NODE[1])) return;
  const local = join(bin, 'node');
  const isOther = existsSync(local) && spawnSync(local, ['--version'], { encoding: 'utf8' }).stdout.trim();
  if (!isOther || isOther === process.version) {
    throw new Error(`Node ${NODE.join('.')} or newer is needed; this is ${process.version}`);
  }
  // The channel tells the child when this process is gone, however it went.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc'];
  const child = spawn(local, process.argv.slice(1), { stdio, env: toolEnv() });
  onSignal((signal) => child.kill(signal));
  const code = await new Promise((done) => child.on('exit', (it, signal) => done(it ?? (signal ? 128 : 1))));
  process.exit(code);
}

/** Everything that a script of ours relies on: cargo, the pinned tools, a Node that is new enough. */
export async function prepare() {
  needCargo();
  await installModules();
  await needNode();
}

/** Builds the Worker (build/worker.js), with its tool. Nothing is done twice. */
export async function buildWorker() {
  const code = await run('cargo', ['xtask', 'build'], { env: toolEnv() });
  if (code !== 0) throw new Error('the Worker could not be built; the reason is above');
}

/** Builds tools of the workspace for this machine. */
export async function buildTools(...packages) {
  needCargo();
  const names = packages.flatMap((it) => ['--package', it]);
  const args = ['build', '--quiet', '--locked', '--bins', ...names];
  const code = await run('cargo', args, { env: toolEnv() });
  if (code !== 0) throw new Error(`${packages.join(' and ')} could not be built; the reason is above`);
}

function needCargo() {
  if (spawnSync('cargo', ['--version']).error) throw new Error('cargo not found: install Rust, for example with rustup');
}

/** A directory that is kept between runs and never committed. */
export function cacheDir() {
  const dir = join(root, '.cache');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return dir;
}

function pathWithoutModules() {
  return (process.env.PATH ?? '').split(delimiter).filter((it) => !it.includes('node_modules')).join(delimiter);
}

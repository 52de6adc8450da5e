// The local stack behind `npm start`: builds, starts the fake cloud and `wrangler dev`, fires the cron every minute,
// prints the ready line, and ends everything together. What the Worker is configured with is in local-config.mjs.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DEFAULT_PORT, isSimulation, localOptions, localVars } from './local-config.mjs';
import { buildTools, buildWorker, cacheDir, onSignal, root, say, targetDir, toolEnv } from './prepare.mjs';
import { startNode, startProcess, waitUntil } from './processes.mjs';

const CRON_MS = 60_000;
const children = {};
let scratch;
let ending;

/** Ends every child, then this process. */
function end(code, message) {
  ending ??= (async () => {
    if (message) say(message);
    await Promise.all(Object.values(children).map((it) => it.stop()));
    if (scratch) rmSync(scratch, { recursive: true, force: true });
    process.exit(code);
  })();
  return ending;
}

export async function startLocal() {
  onSignal(() => end(0));
  process.on('disconnect', () => end(0));
  process.channel?.unref();
  // A reader that went away (`npm start | head`) is no reason to leave children behind.
  process.stdout.on('error', () => {});
  try {
    await start();
  } catch (error) {
    await end(1, error.message);
  }
}

async function start() {
  const options = localOptions();
  const simulation = isSimulation(options.given);
  await needFreePort('PORT', options.port);
  if (simulation) await needFreePort('CLOUD_PORT', options.cloudPort);

  say('building (minutes the first time, about a second later)');
  await buildTools('mayfly-xtask', ...(simulation ? ['mayfly-fake-cloud'] : []));
  await buildWorker();
  if (ending) return;

  const origin = `http://127.0.0.1:${options.port}`;
  const cloud = `http://127.0.0.1:${options.cloudPort}`;
  if (simulation) startCloud(options);
  startWorker(options);
  const wait = (what, check) => waitUntil(what, check, { children });
  if (simulation) await wait('the fake cloud', () => ok(`${cloud}/_fake/state`));
  await wait('the Worker', () => ok(`${origin}/healthz`));
  if (existsSync(join(root, 'pages/index.html'))) await wait('the page', () => ok(`${origin}/`));
  await wait('the API', () => answers(`${origin}/vms`, options.apiToken));
  if (ending) return;

  for (const [name, child] of Object.entries(children)) {
    child.ended.then((how) => end(1, `${name} ended (${how}), so everything ends:\n${child.tail()}`));
  }
  setInterval(() => ok(`${origin}/cdn-cgi/handler/scheduled`).catch(() => {}), CRON_MS);
  say(simulation ? 'a simulation: no provider secret is set, so VMs are pretended' : noteOnAddress(options.given));
  say('log: .cache/worker.log');
  process.stdout.write(`ready ${origin}  token ${options.apiToken}\n`);
}

function startCloud({ cloudPort, cloudToken }) {
  const program = join(targetDir, 'debug/fake-cloud');
  const args = ['--port', String(cloudPort), '--token', cloudToken, '--exit-with-stdin'];
  const log = join(cacheDir(), 'fake-cloud.log');
  children['the fake cloud'] = startProcess(program, args, { env: process.env, cwd: root, log, stdin: 'pipe' });
}

function startWorker(options) {
  // A file, since arguments can be read by every user of this machine.
  scratch = ownScratch();
  const file = join(scratch, 'vars');
  const lines = Object.entries(localVars(options)).map(([key, value]) => `${key}=${quoted(value)}\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  const args = [join(root, 'node_modules/wrangler/bin/wrangler.js'), 'dev', '--ip', '127.0.0.1'];
  args.push('--port', String(options.port), '--inspector-port', '0', '--env-file', file);
  args.push('--show-interactive-dev-session=false', '--persist-to', join(options.port === DEFAULT_PORT ? cacheDir() : scratch, 'state'));
  if (existsSync(join(root, 'pages'))) args.push('--assets', 'pages');
  // Values in the file must win over the same names in the environment.
  const env = toolEnv();
  for (const key of Object.keys(localVars(options))) delete env[key];
  children['the Worker'] = startNode(args, { env, cwd: root, log: join(cacheDir(), 'worker.log') });
}

/** A directory of this process; those of processes that were killed go. */
function ownScratch() {
  for (const name of readdirSync(cacheDir()).filter((it) => /^start-\d+$/.test(it))) {
    if (!isAlive(Number(name.slice(6)))) rmSync(join(cacheDir(), name), { recursive: true, force: true });
  }
  const dir = join(cacheDir(), `start-${process.pid}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return dir;
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** As a dotenv reader takes it literally; it knows no escape for the quote that it is in. */
function quoted(value) {
  const quote = [`'`, '`', '"'].find((it) => !value.includes(it));
  if (!quote) throw new Error('a value in .dev.vars holds all three kinds of quotes');
  return quote + value + quote;
}

async function ok(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  await response.arrayBuffer();
  return response.ok;
}

/** True when the API answers; a configuration that it refuses ends everything with its own list of reasons. */
async function answers(url, token) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(20_000) });
  const body = await response.json();
  if (body.code === 'misconfigured') {
    const reasons = (body.errors ?? []).map((it) => `  ${it.field}: ${it.detail}`);
    await end(1, [body.detail, ...reasons].join('\n'));
  }
  return response.ok;
}

/** Fails with one clear line if somebody else listens there. */
async function needFreePort(name, port) {
  const error = await new Promise((done) => {
    const server = createServer();
    server.once('error', done);
    server.listen(port, '127.0.0.1', () => server.close(() => done(undefined)));
  });
  if (error) throw new Error(`port ${port} is not free (${error.code}): stop what uses it, or set ${name}`);
}

function noteOnAddress(given) {
  const known = given.PUBLIC_URL && !given.PUBLIC_URL.includes('127.0.0.1');
  if (known) return `a real provider: VMs will report to ${given.PUBLIC_URL}`;
  return 'a real provider: VMs cannot reach this machine; give PUBLIC_URL a tunnel’s address to see them boot';
}

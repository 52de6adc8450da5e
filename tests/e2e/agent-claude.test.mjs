/**
 * Claude Code itself, as VMs install it, through the Worker in workerd to a scripted API: conversations with tools, errors that
 * it tries again and errors that it does not, and a capability that ends while it works. What it is given is what the VM's own
 * scripts lay out (cloud-init/workspace/share.py).
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { capability } from '../backup/support.mjs';
import { cacheDir } from '../run/prepare.mjs';
import { startAnthropic } from '../vm/stand-ins/anthropic.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

const SCRIPTS = fileURLToPath(new URL('../../cloud-init/', import.meta.url));
const KEY = 'the-key-that-stays-with-the-worker';
const CLAUDE = process.env.CLAUDE_BIN;
const missing = CLAUDE ? false : 'no Claude Code here: set CLAUDE_BIN to one';
/** A turn of the scripted API: 100 of input, 20 of output. */
const TURN = 120;
const options = { skip: missing, timeout: 180_000 };

let anthropic;
let cloud;
let worker;
let root;
let vm;

before(async () => {
  if (missing) return;
  root = mkdtempSync(join(cacheDir(), 'agent-'));
  anthropic = await startAnthropic({ port: 0, keys: [KEY] });
  cloud = await startFakeCloud({ guests: false, actionMs: 0 });
  const agent = { AGENT_PROXY: 'on', ANTHROPIC_API_KEY: KEY, AGENT_UPSTREAM_URL: `http://127.0.0.1:${anthropic.port}` };
  worker = await startWorker({ vars: { ...cloud.vars, ...agent, AGENT_BUDGET_VM_TOKENS: '100000' }, bucket: true });
  vm = await boot();
});
after(async () => {
  await worker?.close();
  await cloud?.close();
  anthropic?.stop();
  if (root) await rm(root, { recursive: true, force: true });
});
beforeEach(() => {
  if (missing) return;
  anthropic.requests.length = 0;
  anthropic.plan([]);
  anthropic.say('Done.');
});

/** Creates a VM and lays out below a folder what its first boot would: the exchange, then the VM's own scripts. */
async function boot() {
  const { body } = await worker.api('POST', '/vms', { repo_url: 'https://github.com/octocat/Hello-World', env: { MINE: 'yes' } });
  const server = (await cloud.state()).servers.find((it) => body.vm.id === `hetzner-${it.id}`);
  const userData = await (await fetch(`${cloud.url}/_fake/servers/${server.id}/user-data`)).text();
  const machine = JSON.parse(JSON.parse(/path: \/etc\/mayfly\/vm\.json\n.*\n\s+content: (".*")\n/.exec(userData)[1]));
  const headers = { authorization: `Bearer ${machine.capability}`, 'cf-connecting-ip': server.public_net.ipv4.ip };
  const exchange = await worker.fetch('/vm/boot', { method: 'POST', headers, body: JSON.stringify({ sealed: machine.sealed }) });
  const secrets = await exchange.json();
  assert.equal(exchange.status, 200, JSON.stringify(secrets));
  assert.ok(!JSON.stringify(secrets).includes(KEY));
  const put = async (path, text) => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o600 });
  };
  await put('etc/mayfly/vm.json', JSON.stringify({ ...machine, worker: worker.url }));
  await put('etc/mayfly/values/repo_name', 'Hello-World');
  await put('etc/mayfly/values/repo_host', 'github.com');
  for (const name of ['password', 'anthropic_api_key', 'claude_code_oauth_token', 'git_token']) await put(`etc/mayfly/secrets/${name}`, secrets[name]);
  await put('etc/mayfly/secrets/env.json', JSON.stringify(secrets.env));
  await mkdir(join(root, 'workspaces/Hello-World'), { recursive: true });
  python('share.py');
  const settings = JSON.parse(await readFile(join(share(), 'agent-settings.json'), 'utf8'));
  // There is no container here, so no /mnt/mayfly.
  settings.apiKeyHelper = settings.apiKeyHelper.replace('/mnt/mayfly', share());
  await put('settings.json', JSON.stringify(settings));
  return { id: body.vm.id, vm: machine.vm };
}

const share = () => join(root, 'run/mayfly/agent/share');

function python(script) {
  const env = { PATH: process.env.PATH, MAYFLY_ROOT: root, PYTHONPATH: `${SCRIPTS}vm:${SCRIPTS}workspace`, PYTHONDONTWRITEBYTECODE: '1', MAYFLY_HERE: `${SCRIPTS}workspace` };
  const done = spawnSync('python3', [`${SCRIPTS}workspace/${script}`], { env, encoding: 'utf8' });
  assert.equal(done.status, 0, done.stdout + done.stderr);
}

/** Runs it with what the container's shells have. Resolves to its exit status and what it said. */
async function claude(...args) {
  const shell = `. ${share()}/env.sh; exec "$@"`;
  const env = { PATH: process.env.PATH, HOME: root, CLAUDE_CONFIG_DIR: join(root, 'home/dev/.claude'), IS_SANDBOX: '1', DISABLE_AUTOUPDATER: '1' };
  const child = spawn('sh', ['-c', shell, 'sh', CLAUDE, '--settings', join(root, 'settings.json'), ...args], { env, cwd: join(root, 'workspaces/Hello-World'), stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (out += chunk));
  const code = await new Promise((done) => child.on('close', done));
  process.off('exit', kill);
  return { code, out };
}

const turns = () => anthropic.requests.filter((it) => it.path === '/v1/messages');
const used = async () => (await worker.api('GET', `/vms/${vm.id}`)).body.agent;

test('it works with tools over several turns, and goes on with the conversation', options, async () => {
  anthropic.plan([
    { tool: 'Bash', input: { command: 'echo "made by $MINE" >made; echo out of the shell', description: 'make a file' } },
    { tool: 'Read', input: { file_path: join(root, 'workspaces/Hello-World/made') } },
    { text: 'The file is made.' },
  ]);
  const first = await claude('-p', 'Make a file', '--allowedTools', 'Bash', 'Read');
  assert.equal(first.code, 0, first.out);
  assert.match(first.out, /The file is made\./);
  assert.equal(await readFile(join(root, 'workspaces/Hello-World/made'), 'utf8'), 'made by yes\n');
  assert.match(turns().map((it) => it.prompt).join('\n'), /Make a file[^]*out of the shell[^]*made by yes/);
  anthropic.say('I remember.');
  const second = await claude('-p', 'And now?', '--continue');
  assert.match(second.out, /I remember\./);
  assert.ok(turns().every((it) => it.key === 0), 'each under the key of the Worker');
  const count = turns().length;
  await until('every answer is counted', async () => (await used()).tokens === count * TURN);
});

test('what passes by itself it tries again', options, async () => {
  anthropic.plan([{ status: 529, text: 'Overloaded' }, { status: 429, text: 'Slow down' }, { text: 'Here I am.' }]);
  const done = await claude('-p', 'Hello', '--allowedTools', 'Bash');
  assert.match(done.out, /Here I am\./);
  assert.equal(done.code, 0);
});

test('an answer that ends in an error it asks for again', options, async () => {
  anthropic.plan([{ text: 'Half of an', breaks: 'overloaded_error' }, { text: 'A whole answer.' }]);
  const done = await claude('-p', 'Hello', '--allowedTools', 'Bash');
  assert.equal(done.code, 0, done.out);
  assert.match(done.out, /A whole answer\./);
  assert.doesNotMatch(done.out, /Half of an/);
});

test('a capability that ends meanwhile is read again, and a fresh one is fetched by the VM', options, async () => {
  const file = join(share(), 'agent-token');
  await writeFile(join(root, 'stale'), capability('agent', '', { vm: vm.vm, owner: 'default', seconds: -60 }));
  // The first time it gets what has ended, then what is there.
  const helper = join(root, 'helper');
  await writeFile(helper, `#!/bin/sh\nif [ -e ${root}/stale ]; then cat ${root}/stale; rm ${root}/stale; else cat ${file}; fi\n`, { mode: 0o755 });
  const before = await readFile(join(root, 'settings.json'), 'utf8');
  await writeFile(join(root, 'settings.json'), JSON.stringify({ apiKeyHelper: helper }));
  const done = await claude('-p', 'Hello');
  await writeFile(join(root, 'settings.json'), before);
  assert.match(done.out, /Done\./);
  assert.equal(done.code, 0);
  await writeFile(file, 'nothing');
  python('agent.py');
  const token = await readFile(file, 'utf8');
  const claims = JSON.parse(Buffer.from(token.split('.')[2], 'base64url'));
  assert.deepEqual([claims.s, claims.v, claims.o], ['agent', vm.vm, 'default']);
  assert.match((await claude('-p', 'Hello')).out, /Done\./);
});

test('what does not pass by itself it says, and asks no more', options, async (t) => {
  const own = await startWorker({
    vars: { ...cloud.vars, AGENT_PROXY: 'on', ANTHROPIC_API_KEY: KEY, AGENT_UPSTREAM_URL: `http://127.0.0.1:${anthropic.port}`, AGENT_BUDGET_VM_TOKENS: '1' },
    bucket: true,
  });
  t.after(() => own.close());
  const env = await readFile(join(share(), 'env.sh'), 'utf8');
  t.after(() => writeFile(join(share(), 'env.sh'), env));
  await writeFile(join(share(), 'env.sh'), env.replaceAll(worker.url, own.url));
  assert.match((await claude('-p', 'Hello')).out, /Done\./);
  const key = await readFile(join(share(), 'agent-token'), 'utf8');
  const ask = () => own.fetch('/vm/anthropic/v1/messages', { method: 'POST', headers: { 'x-api-key': key }, body: '{}' });
  await until('the turn is written down', async () => (await ask()).status === 429);
  const before = turns().length;
  const said = await claude('-p', 'Hello again');
  assert.notEqual(said.code, 0);
  assert.match(said.out, /This workspace's 1 tokens \(AGENT_BUDGET_VM_TOKENS\) are used up/);
  assert.equal(turns().length, before);
});

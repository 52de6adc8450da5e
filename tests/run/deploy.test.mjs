// `npm run deploy` with a wrangler that only writes down what it is asked: the order of the steps, what each side is
// told, and that secrets travel in a file. What the real one would upload is measured by the suite `size`.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SECRETS = { API_TOKEN: 'the-api-token-of-the-test', SIGNING_KEY: 'k1:the-signing-key-of-the-test', HETZNER_TOKEN: 'the-hetzner-token' };

/** Keeps its account in a file; the Pages name is taken by somebody else, so the project gets another address. */
const STUB = `#!${process.execPath}
const fs = require('node:fs');
const args = process.argv.slice(2);
const file = process.env.STUB_STATE;
const state = JSON.parse(fs.readFileSync(file, 'utf8'));
state.calls.push(args);
const command = args.filter((it) => !it.startsWith('-')).join(' ');
let code = 0;
if (command === 'whoami') code = state.signedIn ? 0 : 1;
else if (command === 'pages project list') {
  console.log(JSON.stringify(state.projects.map((it) => ({ 'Project Name': it, 'Project Domains': it + '-4xz.pages.dev, dev.example.com' }))));
} else if (command.startsWith('pages project create')) state.projects.push(args[3]);
else if (args[0] === 'deploy') {
  if (state.failDeploy) code = 1;
  else {
    const targets = ['schedule: */10 * * * *', 'https://mayfly.someone.workers.dev'];
    fs.appendFileSync(process.env.WRANGLER_OUTPUT_FILE_PATH, JSON.stringify({ type: 'deploy', targets }) + '\\n');
  }
}
fs.writeFileSync(file, JSON.stringify(state));
process.exit(code);
`;

let dir;
let file;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'mayfly-deploy-'));
  file = join(dir, 'secrets.json');
  writeFileSync(join(dir, 'wrangler'), STUB, { mode: 0o755 });
});
after(() => {
  const name = createHash('sha256').update(file).digest('hex').slice(0, 8);
  rmSync(join(ROOT, `.cache/deployed-${name}.json`), { force: true });
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => {
  account({});
  writeFileSync(file, JSON.stringify(SECRETS));
});

const stateFile = () => join(dir, 'state.json');
const account = (more) => writeFileSync(stateFile(), JSON.stringify({ signedIn: true, projects: [], calls: [], ...more }));
const calls = () => JSON.parse(readFileSync(stateFile(), 'utf8')).calls;

async function deploy(root = ROOT) {
  const env = { ...process.env, WRANGLER_BIN: join(dir, 'wrangler'), SECRETS_FILE: file, STUB_STATE: stateFile() };
  const child = spawn(process.execPath, [join(root, 'tests/run/deploy.mjs')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const code = await new Promise((done) => child.on('close', done));
  return { code, out, err };
}

const deploys = () => calls().filter(([it]) => it === 'deploy');
const vars = (call) => call.filter((_it, at) => call[at - 1] === '--var');

test('the first time: project, Worker, Worker with its own address, page; then the addresses of both', async () => {
  const { code, out, err } = await deploy();
  assert.equal(code, 0, err);
  assert.equal(out, 'page   https://mayfly-4xz.pages.dev\nWorker https://mayfly.someone.workers.dev\n');
  const origins = 'ALLOWED_ORIGINS:https://mayfly-4xz.pages.dev,https://dev.example.com';
  assert.deepEqual(deploys().map(vars), [[origins], [origins, 'PUBLIC_URL:https://mayfly.someone.workers.dev']]);
  for (const call of deploys()) assert.equal(call[call.indexOf('--secrets-file') + 1], file);
  assert.deepEqual(calls().map((it) => it.slice(0, 3).filter((word) => /^[a-z]+$/.test(word)).join(' ')), [
    'whoami', 'pages project list', 'pages project create', 'pages project list', 'deploy', 'deploy', 'pages deploy',
  ]);
  for (const name of ['index.html', 'docs.html']) {
    const page = readFileSync(join(ROOT, 'build/pages', name), 'utf8');
    assert.ok(page.includes('<meta name="mayfly-api" content="https://mayfly.someone.workers.dev">'), name);
  }
  assert.equal(readFileSync(join(ROOT, 'build/pages/_headers'), 'utf8'), readFileSync(join(ROOT, 'pages/_headers'), 'utf8'));
});

test('the second time: the Worker once, and no project', async () => {
  account({ projects: ['mayfly'] });
  await deploy();
  account({ projects: ['mayfly'] });
  const { code, err } = await deploy();
  assert.equal(code, 0, err);
  assert.equal(deploys().length, 1);
  assert.equal(calls().some((it) => it.includes('create')), false);
});

test('origins that wrangler.toml names stay allowed', async () => {
  const copy = join(dir, 'copy');
  for (const name of ['tests/run', 'pages', 'package.json', 'package-lock.json']) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const own = "[vars]\n# ALLOWED_ORIGINS = \"https://no.example\"\nALLOWED_ORIGINS = 'https://*.mayfly-4xz.pages.dev, https://dev.example.com,https://other.example'";
  writeFileSync(join(copy, 'wrangler.toml'), readFileSync(join(ROOT, 'wrangler.toml'), 'utf8').replace('[vars]', own));
  const { code, err } = await deploy(copy);
  assert.equal(code, 0, err);
  const [origins] = vars(deploys()[0]);
  assert.equal(origins, 'ALLOWED_ORIGINS:https://mayfly-4xz.pages.dev,https://dev.example.com,https://*.mayfly-4xz.pages.dev,https://other.example');
});

test('no secret is on a command line or in the output', async () => {
  const { out, err } = await deploy();
  const text = JSON.stringify(calls()) + out + err;
  for (const value of Object.values(SECRETS)) assert.equal(text.includes(value), false);
});

test('not signed in: it says what to do, and touches nothing', async () => {
  account({ signedIn: false });
  const { code, err } = await deploy();
  assert.equal(code, 1);
  assert.match(err, /npx wrangler login/);
  assert.deepEqual(calls(), [['whoami', '--json']]);
});

test('without keys it points to setup, before it asks Cloudflare anything', async () => {
  writeFileSync(file, JSON.stringify({ HETZNER_TOKEN: 'x' }));
  const { code, err } = await deploy();
  assert.equal(code, 1);
  assert.match(err, /API_TOKEN: run npm run setup/);
  assert.deepEqual(calls(), []);
});

test('a Worker that cannot be deployed leaves the page alone', async () => {
  account({ failDeploy: true });
  const { code, err } = await deploy();
  assert.equal(code, 1);
  assert.match(err, /the Worker could not be deployed/);
  assert.equal(calls().some((it) => it[0] === 'pages' && it[1] === 'deploy'), false);
  assert.ok(existsSync(file));
});

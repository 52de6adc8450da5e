// `npm run setup` against the fake cloud: what it accepts, what it writes, and that it shows no secret. Asking is
// tested on a pseudo terminal, where `script` can make one.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startFakeCloud } from '../e2e/support/cloud.mjs';
import { parseVars } from './local-config.mjs';
import { PROVIDERS } from './providers.mjs';

const SETUP = fileURLToPath(new URL('setup.mjs', import.meta.url));
const TOKEN = 'the-token-of-the-setup-test';
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux');

let cloud;
let dir;
let file;
before(async () => {
  cloud = await startFakeCloud({ token: TOKEN, guests: false });
  dir = mkdtempSync(join(tmpdir(), 'mayfly-setup-'));
  file = join(dir, 'secrets.json');
});
after(async () => {
  rmSync(dir, { recursive: true, force: true });
  await cloud?.close();
});
beforeEach(() => rmSync(file, { force: true }));

const environment = (more) => {
  const env = { ...process.env, SECRETS_FILE: file, HETZNER_API_URL: cloud.apiUrl, ...more };
  for (const name of PROVIDERS.flatMap((it) => [...it.keys.map((key) => key.name), ...it.more])) if (!more[name]) delete env[name];
  return env;
};

function setup(more = {}) {
  const child = spawn(process.execPath, [SETUP], { env: environment(more), stdio: ['ignore', 'pipe', 'pipe'] });
  return output(child);
}

async function output(child) {
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  const code = await new Promise((done) => child.on('close', done));
  return { code, text };
}

const written = () => JSON.parse(readFileSync(file, 'utf8'));

test('a good token from the environment: keys are made, for nobody else to read, and nothing is shown', async () => {
  const { code, text } = await setup({ HETZNER_TOKEN: TOKEN, GIT_TOKEN: 'a-git-token' });
  assert.equal(code, 0, text);
  const secrets = written();
  assert.equal(secrets.HETZNER_TOKEN, TOKEN);
  assert.equal(secrets.GIT_TOKEN, 'a-git-token');
  assert.match(secrets.API_TOKEN, /^[\w-]{32}$/);
  assert.match(secrets.SIGNING_KEY, /^[a-z0-9]+:[\w-]{43}$/);
  assert.match(secrets.BACKUP_KEY, /^[\w-]{43}$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  for (const value of Object.values(secrets)) assert.equal(text.includes(value), false, 'the output shows a secret');
  assert.deepEqual((await cloud.state()).ssh_keys, [], 'the check of the token left nothing behind');
});

test('a second run keeps every key, and asks for nothing', async () => {
  await setup({ HETZNER_TOKEN: TOKEN });
  const first = written();
  const { code, text } = await setup();
  assert.equal(code, 0, text);
  assert.deepEqual(written(), first);
});

for (const [what, token, reason] of [
  ['nobody knows', 'unknown-token', /does not know this token/],
  ['may only read', `read-only-${TOKEN}`, /may only read/],
  ['is none', 'two words', /no token/],
]) {
  test(`a token that ${what} is refused, and nothing is written`, async () => {
    const { code, text } = await setup({ HETZNER_TOKEN: token });
    assert.equal(code, 1);
    assert.match(text, reason);
    assert.equal(existsSync(file), false);
  });
}

test('other providers are checked with them, and a second one is added to the first', async () => {
  const others = cloud.varsOf(['scaleway', 'digitalocean']);
  const { SCALEWAY_SECRET_KEY, SCALEWAY_PROJECT_ID, SCALEWAY_API_URL, DIGITALOCEAN_TOKEN, DIGITALOCEAN_API_URL } = others;
  const scaleway = { SCALEWAY_SECRET_KEY, SCALEWAY_PROJECT_ID, SCALEWAY_API_URL };
  const first = await setup(scaleway);
  assert.equal(first.code, 0, first.text);
  assert.match(first.text, /SCALEWAY_SECRET_KEY: taken from the environment, Scaleway accepts it/);
  const second = await setup({ SCALEWAY_API_URL, DIGITALOCEAN_TOKEN, DIGITALOCEAN_API_URL });
  assert.equal(second.code, 0, second.text);
  assert.match(second.text, /SCALEWAY_SECRET_KEY: kept/);
  const secrets = written();
  assert.deepEqual([secrets.SCALEWAY_PROJECT_ID, secrets.DIGITALOCEAN_TOKEN, secrets.HETZNER_TOKEN], [SCALEWAY_PROJECT_ID, DIGITALOCEAN_TOKEN, undefined]);
  for (const [what, env, reason] of [
    ['no project', { ...scaleway, SCALEWAY_PROJECT_ID: 'shop' }, /must be a UUID/],
    ['a wrong key', { ...scaleway, SCALEWAY_SECRET_KEY: 'wrong-key-of-nobody' }, /Scaleway does not know this key/],
    ['a wrong token', { DIGITALOCEAN_TOKEN: 'wrong-token', DIGITALOCEAN_API_URL }, /DigitalOcean does not know this token/],
    ['half of a key', { AWS_SECRET_ACCESS_KEY: 'secret-without-id' }, /AWS_(REGIONS|ACCESS_KEY_ID) is missing/],
  ]) {
    rmSync(file, { force: true });
    const { code, text } = await setup(env);
    assert.equal(code, 1, what);
    assert.match(text, reason);
    assert.equal(existsSync(file), false, what);
  }
});

test('keys that only the Worker can check are taken as they are', async () => {
  const aws = { AWS_REGIONS: 'eu-central-1', AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY' };
  const { code, text } = await setup(aws);
  assert.equal(code, 0, text);
  assert.match(text, /to be checked by GET \/health\/providers/);
  assert.equal(written().AWS_ACCESS_KEY_ID, aws.AWS_ACCESS_KEY_ID);
});

test('without a terminal and without a token it says what to set', async () => {
  const { code, text } = await setup();
  assert.equal(code, 1);
  assert.match(text, /HETZNER_TOKEN is missing/);
});

test('a provider that cannot be reached is named, and the file stays as it was', async () => {
  writeFileSync(file, '{"API_TOKEN":"kept-as-it-was"}');
  const { code, text } = await setup({ HETZNER_TOKEN: TOKEN, HETZNER_API_URL: 'http://127.0.0.1:1/v1' });
  assert.equal(code, 1);
  assert.match(text, /cannot be reached/);
  assert.deepEqual(written(), { API_TOKEN: 'kept-as-it-was' });
});

test('at a terminal it asks, hides what is typed, and asks again after a bad one', { skip: hasScript ? false : 'no script(1) here' }, async () => {
  const child = spawn('script', ['-qefc', `'${process.execPath}' '${SETUP}'`, '/dev/null'], {
    env: environment({}),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const answers = ['azure', '', `read-only-${TOKEN}`, `x\u007f${TOKEN}`];
  let seen = '';
  child.stdout.on('data', (chunk) => {
    seen += chunk;
    // One answer for each question, when it is there.
    const asked = seen.split(/Provider \(.*\) \[hetzner\]: |Hetzner token \(not shown\): /).length - 1;
    if (answers.length > 0 && asked > 4 - answers.length) child.stdin.write(`${answers.shift()}\r`);
  });
  const { code, text } = await output(child);
  assert.equal(code, 0, text);
  assert.match(text, /there is no azure/);
  assert.match(text, /may only read/);
  assert.equal(text.includes(TOKEN), false, 'the terminal shows the token');
  assert.equal(written().HETZNER_TOKEN, TOKEN);
});

test('.dev.vars is read as wrangler reads it', () => {
  const text = '# a comment\nA=plain # note\nexport B="with # inside"\nC=\'{"a": "b"}\'\n  D =  spaced  \nnot a line\nE=\n';
  assert.deepEqual(parseVars(text), { A: 'plain', B: 'with # inside', C: '{"a": "b"}', D: 'spaced', E: '' });
});

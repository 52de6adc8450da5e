/**
 * The main story, told twice against what `npm start` serves: in Chromium as a person does it, and by the very commands
 * that the README prints. Afterwards the account is as empty as before. Edge cases of the page are in page.test.mjs.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, openPage, shoot, signIn } from './page-support.mjs';
import { freePort } from './support/ports.mjs';
import { until } from './support/until.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TOKEN = 'a-token-for-the-story';

let start;
let url;
let cloud;
let browser;

before(async () => {
  const [port, cloudPort] = [await freePort(), await freePort()];
  url = `http://127.0.0.1:${port}`;
  cloud = `http://127.0.0.1:${cloudPort}`;
  const env = { ...process.env, PORT: String(port), CLOUD_PORT: String(cloudPort), MAYFLY_API_TOKEN: TOKEN };
  start = spawn('npm', ['start', '--silent'], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  await new Promise((resolve, reject) => {
    start.stdout.on('data', (chunk) => {
      printed += chunk;
      if (printed.includes(`ready ${url}  token ${TOKEN}\n`)) resolve();
    });
    start.once('exit', (code) => reject(new Error(`npm start ended with ${code}: ${printed}`)));
  });
  start.removeAllListeners('exit');
  browser = await launch();
});

after(async () => {
  await browser?.close();
  if (!start || start.exitCode !== null) return;
  const ended = new Promise((resolve) => start.once('exit', resolve));
  start.kill('SIGTERM');
  await ended;
});

const account = async () => (await fetch(`${cloud}/_fake/state`)).json();

async function noServersLeft() {
  await until('servers and addresses are gone', async () => {
    const { servers, primary_ips: addresses } = await account();
    return servers.length === 0 && addresses.length === 0;
  });
}

test('a person creates a workspace, watches it boot, opens it and deletes it', async () => {
  const { page, context, finish } = await openPage(browser, { origins: [url, cloud] });
  await signIn(page, url, TOKEN);
  await page.getByText(/This is a simulation/).waitFor();
  assert.deepEqual((await account()).servers, []);

  await page.getByRole('link', { name: 'New workspace' }).or(page.getByRole('button', { name: 'New workspace' })).first().click();
  await page.getByLabel('Repository').fill('https://github.com/octocat/Hello-World');
  await page.getByRole('button', { name: 'Create workspace' }).click();

  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  const password = (await dialog.textContent()).match(/[a-z2-7]{5}(-[a-z2-7]{5}){3}/)?.[0];
  assert.ok(password, 'the password is shown once');
  await dialog.getByRole('button', { name: /done|close|saved/i }).click();
  // A dialog's close event comes after the click has returned.
  await until('the password is nowhere on the page', async () => !(await page.content()).includes(password));

  const row = page.getByRole('article').or(page.getByRole('listitem')).filter({ hasText: 'mayfly-hello-world-' }).first();
  await row.getByText('The devcontainer is being built').waitFor({ timeout: 60_000 });
  await shoot(page, 'story-boots');
  await row.getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });
  await shoot(page, 'story-ready');

  const popup = context.waitForEvent('page');
  await row.getByRole('button', { name: /^Open/ }).or(row.getByRole('link', { name: /^Open/ })).first().click();
  const workspace = await popup;
  // Its heading: the sign-in page before it says that it is simulated as well.
  await workspace.getByRole('heading', { name: 'Simulated workspace' }).waitFor();
  assert.ok(workspace.url().startsWith(`${cloud}/guests/`), 'one click signs in at the VM');
  assert.ok(!workspace.url().includes('#'), 'and the link is not left in the address');
  await shoot(workspace, 'story-opened');
  await workspace.close();

  await row.getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^Delete/ }).click();
  await row.waitFor({ state: 'detached', timeout: 30_000 });
  await noServersLeft();
  await finish();
});

test('the commands of the README tell the same story', async () => {
  const readme = await readFile(`${ROOT}README.md`, 'utf8');
  const commands = readme.match(/<!-- story -->\n```sh\n([\s\S]*?)```/)?.[1];
  assert.ok(commands, 'the README has a story');
  const script = commands.replace('http://127.0.0.1:8787', url);
  const shell = spawn('bash', ['-euc', script], { env: { ...process.env, TOKEN }, stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  shell.stdout.on('data', (chunk) => (printed += chunk));
  const code = await new Promise((resolve) => shell.once('close', resolve));
  assert.equal(code, 0, printed);
  assert.match(printed, /^created hetzner-\d+\nready\n\{"url":"http[^"]+#[^"]+","expires_in_seconds":60\}\n\{"deleted":true,"already_gone":false,"id":"hetzner-\d+"\}\n$/);
  await noServersLeft();
});

test('afterwards the account is as empty as before', async () => {
  // What VMs share outlives the last of them by a minute; the cron of `npm start` takes it.
  const kinds = ['servers', 'primary_ips', 'ssh_keys', 'firewalls', 'volumes'];
  await until('nothing is left', async () => {
    const state = await account();
    return kinds.every((kind) => state[kind].length === 0);
  }, { timeoutMs: 200_000, everyMs: 1000 });
});

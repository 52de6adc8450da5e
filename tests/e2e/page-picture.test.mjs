// The README's pictures: the page before the real Worker and three simulated providers, as wide as the README shows them.
// The test leaves them among the screenshots (page-picture.png, page-picture-new.png); whoever changes how the page looks
// puts them in the place of those in pages/. What the page does is told in the other files.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { ARTIFACTS, launch, openPage, shoot, signIn } from './page-support.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { startWorker } from './support/worker.mjs';

const LOOK = { viewport: { width: 1180, height: 875 }, colorScheme: 'light' };
const README = new URL('../../README.md', import.meta.url);

let cloud;
let worker;
let browser;

before(async () => {
  cloud = await startFakeCloud({ bootSeconds: 24, actionMs: 50 });
  const vars = { ...cloud.varsOf(['hetzner', 'scaleway', 'digitalocean']), ANTHROPIC_API_KEY: 'sk-ant-of-nobody' };
  worker = await startWorker({ vars });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await worker?.close();
  await cloud?.close();
});

/** Fills in the form for a repository; the words are those of the page. */
async function fill(page, repository, says, size) {
  await page.goto(`${worker.url}/#new?repo=${repository}`);
  await page.getByText(says).waitFor();
  await page.getByRole('radio', { name: size }).check();
}

async function create(page) {
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click({ timeout: 30_000 });
}

const widthOf = async (file) => (await readFile(file)).readUInt32BE(16);

test('the list with a boot and the form, as the README shows them', { timeout: 120_000 }, async () => {
  const { page, finish } = await openPage(browser, { look: LOOK, origins: [worker.url, cloud.url] });
  await signIn(page, worker.url, worker.token);
  await page.getByText('This is a simulation').waitFor();
  await fill(page, 'octocat/Hello-World', 'Clones github.com/octocat/Hello-World.', /^Small/);
  await create(page);
  await page.getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });

  await fill(page, 'https://github.com/rust-lang/mdBook/tree/master', 'Clones github.com/rust-lang/mdBook, branch master.', /^Medium/);
  assert.equal(await page.locator('.offer').count(), 3);
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement.blur());
  await shoot(page, 'picture-new');
  await page.getByRole('radio', { name: /^Large/ }).check();
  await create(page);
  const booting = page.locator('.vm').filter({ hasText: 'mdBook' });
  await booting.getByText('The devcontainer is being built').waitFor({ timeout: 60_000 });
  // In the midst of it.
  await booting.getByText(/^([3-9]|\d\d) s of \d+ s$/).waitFor({ timeout: 20_000 });
  await page.locator('.vm').filter({ hasText: 'Hello-World' }).getByRole('button', { name: 'Open' }).waitFor();
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement.blur());
  await shoot(page, 'picture');
  await finish();

  const shown = [...(await readFile(README, 'utf8')).matchAll(/!\[[^\]]+\]\((pages\/(picture[\w-]*)\.png)\)/g)];
  assert.deepEqual(shown.map(([, , name]) => name), ['picture', 'picture-new']);
  for (const [, path, name] of shown) assert.equal(await widthOf(new URL(`../../${path}`, import.meta.url)), await widthOf(`${ARTIFACTS}page-${name}.png`), path);
});

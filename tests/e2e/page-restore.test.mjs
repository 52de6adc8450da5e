// What the form says of earlier work, against the stub of page-stub.mjs: what is offered, what is sent, and that a deployment
// without backups says so. Which words it finds for them is tests/pages/restore-logic.test.mjs's business.

import assert from 'node:assert/strict';
import { problem, someOptions, someSnapshot } from './page-stub.mjs';
import { LOOKS, asked, assertAccessible, shoot, signIn, stories, withErrors } from './page-support.mjs';

const story = stories();
const ago = (hours) => new Date(Date.now() - hours * 3_600_000).toISOString();
const [NEW, OLD] = ['a'.repeat(64), 'b'.repeat(64)];
const someKept = () => ({
  name: 'github.com~riverside~atlas', repository: 'github.com/riverside/atlas', size_bytes: 120_000_000,
  snapshots: [{ id: OLD, saved_at: ago(27) }, { id: NEW, saved_at: ago(3) }],
});
const lastBody = (stub) => stub.seen.filter((it) => it.method === 'POST' && it.path === '/vms').at(-1)?.body;

/** Creates what the form says, and comes back to an empty one. */
async function create(page) {
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click();
  await page.getByRole('link', { name: 'New workspace' }).first().click();
  await page.getByRole('heading', { level: 1, name: 'New workspace' }).waitFor();
}

for (const look of [LOOKS[0], LOOKS[3]]) {
  story(`a repository with backups offers to go on, to start fresh, or an older one: ${look.name}`, { look }, async ({ stub, page }) => {
    stub.workspaces = [someKept()];
    await signIn(page, stub.url, stub.token, { hash: '#new' });
    const choice = page.getByLabel('Earlier work');
    await page.getByLabel('Repository').fill('riverside/other');
    assert.equal(await choice.isVisible(), false);
    await page.getByLabel('Repository').fill('git@github.com:riverside/atlas.git');
    await choice.waitFor();
    assert.deepEqual((await choice.locator('option').allTextContents()).slice(0, 2), [
      'Continue where you left off (backup of 3 h ago, 120 MB)', 'Start fresh, from a clone',
    ]);
    await assertAccessible(page, 'the form with backups');
    await shoot(page, `restore-${look.name}`);
    await create(page);
    assert.equal('restore' in lastBody(stub), false, 'to go on is what happens anyway');

    await page.getByLabel('Repository').fill('riverside/atlas');
    await choice.selectOption('none');
    await page.getByText('a later workspace can still continue').waitFor();
    await create(page);
    assert.equal(lastBody(stub).restore, 'none');

    await page.getByLabel('Repository').fill('https://github.com/riverside/atlas/tree/main');
    assert.equal(await choice.inputValue(), '', 'a choice is good for one workspace');
    await choice.selectOption({ index: 2 });
    await create(page);
    assert.equal(lastBody(stub).restore, OLD);
  });
}

story('a choice does not outlive the repository that it was made for, and a snapshot has work of its own', {}, async ({ stub, page }) => {
  stub.workspaces = [someKept()];
  stub.snapshots = [someSnapshot()];
  await signIn(page, stub.url, stub.token, { hash: '#new' });
  const choice = page.getByLabel('Earlier work');
  await page.getByLabel('Repository').fill('riverside/atlas');
  await choice.selectOption('none');
  await page.getByLabel('Repository').fill('riverside/other');
  await choice.waitFor({ state: 'hidden' });
  await create(page);
  assert.equal('restore' in lastBody(stub), false);
  await page.goto(`${stub.url}/#new?snapshot=hetzner-71`);
  await page.getByText('with the database filled').waitFor();
  assert.equal(await page.getByLabel('Repository').inputValue(), 'https://github.com/riverside/atlas');
  assert.equal(await choice.isVisible(), false);
  await page.getByRole('button', { name: 'Start afresh' }).click();
  await choice.waitFor();
});

story('a backup that is gone meanwhile is said at the choice', withErrors, async ({ stub, page }) => {
  stub.workspaces = [someKept()];
  stub.answers.set('POST /vms', () => problem(400, 'invalid_request', 'One field.', {
    errors: [{ field: 'restore', detail: 'is no backup of this repository; GET /workspaces lists those that there are' }],
  }));
  await signIn(page, stub.url, stub.token, { hash: '#new' });
  await page.getByLabel('Repository').fill('riverside/atlas');
  await page.getByLabel('Earlier work').selectOption({ index: 2 });
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.locator('#restore-error').getByText('Is no backup of this repository').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'restore');
});

story('without an answer there is no choice, and the form works', withErrors, async ({ stub, page }) => {
  stub.answers.set('GET /workspaces', () => problem(502, 'bucket_failed', 'The bucket did not do it.'));
  await signIn(page, stub.url, stub.token, { hash: '#new' });
  await page.getByLabel('Repository').fill('riverside/atlas');
  await create(page);
  assert.equal(await page.getByLabel('Earlier work').isVisible(), false);
  assert.equal('restore' in lastBody(stub), false);
});

story('where nothing is kept, the form says what that means and asks for no list', {}, async ({ stub, page }) => {
  stub.options = { ...someOptions(), backups: 'none' };
  await signIn(page, stub.url, stub.token, { hash: '#new' });
  await page.getByText('what is not pushed is lost').waitFor();
  await assertAccessible(page, 'the form without backups');
  assert.equal(asked(stub, 'GET', '/workspaces'), 0);
  stub.options = someOptions();
  await page.reload();
  await page.getByLabel('Repository').fill('riverside/atlas');
  assert.equal(await page.getByText('what is not pushed is lost').isVisible(), false);
});

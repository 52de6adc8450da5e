// The page for several people: keys that it remembers as ciphertext alone, what an admin sees, and signing in where Cloudflare
// Access says who somebody is. Against the stub of page-stub.mjs; what the API makes of it is tested elsewhere.

import assert from 'node:assert/strict';
import { problem, someSnapshot, someVm, startStub } from './page-stub.mjs';
import { asked, assertAccessible, FAILED_REQUEST, LOOKS, row, shoot, signIn, stories, withErrors } from './page-support.mjs';

const SECRET = 'sk-ant-api03-only-in-the-head';
const story = stories();

/** All that a browser keeps, and all that stands in the document, values of fields included. */
const everything = (page) => page.evaluate(() => JSON.stringify([
  { ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML, [...document.querySelectorAll('input, textarea')].map((it) => it.value),
]));
const keptNow = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('mayfly-sealed-keys') ?? 'null'));

async function newForm(page, stub) {
  await page.goto(`${stub.url}/#new?repo=riverside/atlas`);
  await page.getByText('Clones github.com/riverside/atlas').waitFor();
}

async function create(page) {
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByRole('button', { name: 'Done' }).click();
}

const sent = (stub) => stub.seen.filter((it) => it.method === 'POST' && it.path === '/vms').map((it) => it.body);

for (const look of [LOOKS[0], LOOKS[3]]) {
  story(`a key is remembered as ciphertext, used again, and forgotten with one click: ${look.name}`, { look }, async ({ stub, page }) => {
    await signIn(page, stub.url, stub.token);
    await newForm(page, stub);
    await page.getByLabel('Agent key').selectOption('Anthropic API key');
    await page.getByLabel('Anthropic API key').fill(SECRET);
    await page.getByLabel('Remember this key in this browser, sealed').check();
    await assertAccessible(page, 'remember');
    await create(page);
    const [first] = sent(stub);
    assert.match(first.anthropic_api_key, /^mfs1\.k1\./);
    assert.deepEqual(stub.seen.filter((it) => it.path === '/seal').map((it) => it.body), [{ secret: SECRET }]);
    assert.deepEqual(await keptNow(page), { [`${stub.url} default`]: { anthropic_api_key: first.anthropic_api_key } });
    assert.equal((await everything(page)).includes(SECRET), false, 'the key is nowhere in this browser');

    await newForm(page, stub);
    await page.reload();
    await page.getByText('•••• kept, sealed').filter({ visible: true }).waitFor();
    assert.equal(await page.getByLabel('Agent key').inputValue(), 'anthropic_api_key');
    assert.equal(await page.getByLabel('Remember this key in this browser, sealed').isVisible(), false);
    await assertAccessible(page, 'kept');
    await shoot(page, `kept-${look.name}`);
    await create(page);
    assert.equal(sent(stub)[1].anthropic_api_key, first.anthropic_api_key);
    assert.equal(asked(stub, 'POST', '/seal'), 1, 'it was sealed once');

    await newForm(page, stub);
    await page.getByRole('button', { name: 'Forget the kept key' }).click();
    assert.equal(await keptNow(page), null);
    await page.getByLabel('Remember this key in this browser, sealed').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'anthropic_api_key');
    await page.getByRole('button', { name: 'Create workspace' }).click();
    await page.getByText('Paste the key').waitFor();
  });
}

story('what is typed goes before what is kept, and is not kept unless it is wanted', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token);
  await page.evaluate((at) => localStorage.setItem('mayfly-sealed-keys', JSON.stringify({ [at]: { git_token: 'mfs1.k1.kept' }, other: { git_token: 'mfs1.k1.others' } })), `${stub.url} default`);
  await newForm(page, stub);
  await page.getByText('Advanced').click();
  await page.getByLabel('Git token', { exact: true }).fill('ghp_typed');
  await create(page);
  assert.equal(sent(stub)[0].git_token, 'ghp_typed');
  assert.equal((await keptNow(page))[`${stub.url} default`].git_token, 'mfs1.k1.kept');
  assert.equal((await everything(page)).includes('ghp_typed'), false);
  await newForm(page, stub);
  await create(page);
  assert.equal(sent(stub)[1].git_token, 'mfs1.k1.kept');
  // Somebody else at this browser has nothing of it.
  stub.options.owner = 'grace';
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=riverside/atlas' });
  await page.getByText('Clones github.com/riverside/atlas').waitFor();
  await create(page);
  assert.equal('git_token' in sent(stub)[2], false);
});

story('a kept key that does not open any more is named and forgotten', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token);
  await page.evaluate((at) => localStorage.setItem('mayfly-sealed-keys', JSON.stringify({ [at]: { git_token: 'mfs1.k0.old' } })), `${stub.url} default`);
  await newForm(page, stub);
  stub.answers.set('POST /vms', () => problem(400, 'invalid_request', 'No.', { errors: [{ field: 'git_token', detail: 'is sealed, and does not open here for you' }] }));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('Is sealed, and does not open here for you').waitFor();
  assert.equal(await keptNow(page), null);
  stub.answers.clear();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('button', { name: 'Done' }).click();
  assert.equal('git_token' in sent(stub).at(-1), false);
});

story('where sealing fails nothing is made, and the key need not be typed again', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token);
  await newForm(page, stub);
  await page.getByText('Advanced').click();
  await page.getByLabel('Git token', { exact: true }).fill('ghp_typed');
  await page.getByLabel('Remember this Git token in this browser, sealed').check();
  stub.answers.set('POST /seal', () => problem(400, 'invalid_request', 'No.', { errors: [{ field: 'secret', detail: 'must have 1 to 3,000 bytes and no NUL' }] }));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('Cannot be sealed: must have 1 to 3,000 bytes').waitFor();
  assert.deepEqual([sent(stub).length, await keptNow(page)], [0, null]);
  await page.getByLabel('Remember this Git token in this browser, sealed').uncheck();
  await create(page);
  assert.equal(sent(stub)[0].git_token, 'ghp_typed');
  assert.equal((await everything(page)).includes('ghp_typed'), false);
});

story('an admin sees whose each one is, and chooses', {}, async ({ stub, page }) => {
  stub.vms = [someVm(), someVm({ id: 'hetzner-2', name: 'mayfly-relay-8ccd', owner: 'grace' }), someVm({ id: 'hetzner-3', name: 'mayfly-tide-77aa', owner: 'ada' })];
  stub.snapshots = [someSnapshot({ owner: 'grace' })];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-relay-8ccd').getByText('grace').waitFor();
  assert.equal(await page.getByLabel('Whose').isVisible(), false, 'there is nothing to choose for others');
  stub.options.admin = true;
  await page.reload();
  await page.getByText('default (admin)').waitFor();
  await page.getByLabel('Whose').selectOption('grace');
  await row(page, 'mayfly-atlas-k3f9').waitFor({ state: 'detached' });
  assert.equal(await page.locator('.vm').count(), 1);
  await page.getByText('€0.0128').first().waitFor();
  await assertAccessible(page, 'whose');
  await page.getByLabel('Whose').selectOption('everybody’s (3)');
  await row(page, 'mayfly-tide-77aa').waitFor();
  await page.getByRole('link', { name: 'Snapshots' }).click();
  await page.getByText('of grace').waitFor();
  await page.getByRole('link', { name: 'Leftovers' }).click();
  await page.getByText('All of your workspaces (1 now)').waitFor();
});

story('behind Cloudflare Access nobody needs a token', withErrors, async ({ stub, page, context }) => {
  stub.healthz.access = true;
  await context.addCookies([{ name: 'CF_Authorization', value: 'good', url: stub.url, httpOnly: true }]);
  await page.goto(stub.url);
  await page.getByText('Cloudflare Access says who you are').waitFor();
  await assertAccessible(page, 'sign-in-access');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('No workspaces, no costs').waitFor();
  await page.reload();
  await page.getByText('No workspaces, no costs').waitFor();
  assert.equal(stub.seen.some((it) => it.headers.authorization), false);
  // Its session ends: so does ours.
  await context.clearCookies();
  await page.reload();
  await page.getByText('Please sign in again').waitFor();
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Type the API token').waitFor();
});

story('an API elsewhere behind Access gets its cookie, and one without Access none', { expectConsole: [FAILED_REQUEST, /CORS policy/] }, async ({ stub, page, context, origins }) => {
  const api = await startStub({ allowOrigin: () => stub.url });
  origins.push(api.url);
  try {
    await context.addCookies([{ name: 'CF_Authorization', value: 'good', url: api.url }]);
    const submit = async () => {
      await page.getByLabel('API address').fill(api.url);
      await page.getByRole('button', { name: 'Sign in' }).click();
    };
    await page.goto(stub.url);
    await submit();
    await page.getByText('Type the API token').waitFor();
    assert.equal(api.seen.some((it) => it.headers.cookie), false);
    // Access in front lets nobody ask who has not signed in there.
    for (const path of ['GET /healthz', 'GET /options']) api.answers.set(path, () => 'drop');
    await submit();
    await page.getByText('open that address in another tab').waitFor();
    api.answers.clear();
    api.healthz.access = true;
    await submit();
    await page.getByText('No workspaces, no costs').waitFor();
    assert.ok(api.seen.filter((it) => it.path === '/vms').every((it) => /CF_Authorization=good/.test(it.headers.cookie)));
  } finally {
    await api.stop();
  }
});

/**
 * The page against the real Worker in workerd and the fake cloud: from an empty account to an empty account on a desktop and
 * on a phone, light and dark; two tabs; and what a person sees when a provider fails, the network is slow, or the token stops
 * counting. What only a bad API can do is in page-edge.test.mjs.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FAILED_REQUEST, launch, LOOKS, openPage, row, shoot, signIn } from './page-support.mjs';
import { startFakeCloud } from './support/cloud.mjs';
import { until } from './support/until.mjs';
import { startWorker } from './support/worker.mjs';

let cloud;
let worker;
let browser;

before(async () => {
  cloud = await startFakeCloud({ bootSeconds: 3, actionMs: 50 });
  worker = await startWorker({ vars: cloud.varsOf(['hetzner', 'scaleway']) });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await worker?.close();
  await cloud?.close();
});

/** A watched page that is signed in at the Worker; the account is as new. */
async function story(look, tell, { expectConsole = [] } = {}) {
  await cloud.reset();
  await cloud.clearFaults();
  await cloud.config({ heartbeat_max_ms: 500 });
  const opened = await openPage(browser, { look, origins: [worker.url, cloud.url], expectConsole });
  try {
    await signIn(opened.page, worker.url, worker.token);
    await tell(opened);
  } catch (error) {
    await shoot(opened.page, 'last-failure').catch(() => {});
    await opened.context.close();
    throw error;
  }
  await opened.finish();
}

const goTo = async (page, title) => {
  await page.getByRole('link', { name: title, exact: true }).click();
  await page.getByRole('heading', { level: 1, name: title }).waitFor();
};

/** Creates from the form as it stands; resolves to the name. */
async function create(page, button = 'Create workspace') {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Copy password').waitFor({ timeout: 30_000 });
  const name = (await dialog.getByRole('heading', { level: 2 }).textContent()).replace(' is on its way', '');
  await dialog.getByRole('button', { name: 'Done' }).click();
  return name;
}

const more = async (one, item) => {
  await one.getByLabel(/^More for/).click();
  await one.getByRole('button', { name: item }).click();
};

const opens = async (context, click) => {
  const popup = context.waitForEvent('page');
  await click();
  const tab = await popup;
  // Its heading: the sign-in page before it says that it is simulated as well.
  await tab.getByRole('heading', { name: 'Simulated workspace' }).waitFor();
  assert.ok(tab.url().startsWith(`${cloud.url}/guests/`) && !tab.url().includes('#'), tab.url());
  await tab.close();
};

/** A free address with our labels: what a broken deletion leaves behind. */
async function leaveSomethingBehind() {
  const { status } = await fetch(`${cloud.apiUrl}/primary_ips`, {
    method: 'POST',
    headers: { authorization: `Bearer ${cloud.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'left-behind', type: 'ipv4', assignee_type: 'server', location: 'fsn1', labels: { 'managed-by': 'mayfly', 'mayfly-deployment': 'mayfly' } }),
  });
  assert.equal(status, 201);
}

for (const look of LOOKS) {
  test(`from an empty account to an empty account: ${look.name}`, { timeout: 180_000 }, () => story(look, async ({ page, context }) => {
    await page.getByText('No workspaces, no costs').waitFor();
    await page.getByLabel('Git address').fill('octocat/Hello-World');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText('Clones github.com/octocat/Hello-World').waitFor();
    const prices = await page.locator('.offer-price').allTextContents();
    assert.equal(prices.length, 2, 'one row for each provider');
    const figures = prices.map((text) => Number(text.replace(/[^\d.]/g, '')));
    assert.deepEqual(figures, figures.toSorted((one, other) => one - other), 'the cheapest is first');
    await page.getByRole('radio', { name: /^Small/ }).check();
    await shoot(page, `real-new-${look.name}`);
    const name = await create(page);
    const mine = row(page, name);
    await mine.getByRole('progressbar').waitFor();
    assert.equal(await mine.getByRole('listitem').count(), 5, 'the phases of this boot');
    assert.match(await page.title(), /^\(1 starting\)/);
    await mine.getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });

    await opens(context, () => mine.getByRole('button', { name: 'Open' }).click());
    await opens(context, () => mine.getByRole('button', { name: 'Terminal' }).click());
    const expiry = async () => Date.parse((await worker.api('GET', '/vms')).body.vms[0].expires_at);
    const before = await expiry();
    await mine.getByRole('button', { name: '+1 h' }).click();
    await until('the end is an hour later', async () => (await expiry()) === before + 3_600_000);

    await more(mine, 'Take a snapshot');
    await page.getByLabel('Description').fill(`of ${look.name}`);
    await page.getByRole('button', { name: 'Take snapshot' }).click();
    await mine.getByText('Taking a snapshot', { exact: true }).waitFor();
    await goTo(page, 'Snapshots');
    await page.getByRole('heading', { level: 2, name: `of ${look.name}` }).waitFor({ timeout: 60_000 });
    await page.getByRole('link', { name: 'Start from it' }).click({ timeout: 60_000 });
    await page.getByText('Starts from').waitFor();
    assert.equal(await page.getByRole('textbox', { name: 'Repository' }).inputValue(), 'https://github.com/octocat/Hello-World');
    const second = await create(page);
    await row(page, second).getByRole('progressbar').waitFor();
    await shoot(page, `real-list-${look.name}`);
    await row(page, second).getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });

    await mine.getByText('Ready', { exact: true }).waitFor({ timeout: 30_000 });
    await mine.getByRole('button', { name: 'Stop' }).click();
    await mine.getByText('Stopped', { exact: true }).waitFor({ timeout: 60_000 });
    await mine.getByRole('button', { name: 'Start' }).click();
    await mine.getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });

    await goTo(page, 'Costs');
    await page.getByRole('img', { name: '2 workspaces on a time axis' }).waitFor();
    assert.equal(await page.getByRole('row').count(), 3);
    await shoot(page, `real-costs-${look.name}`);

    await leaveSomethingBehind();
    await goTo(page, 'Leftovers');
    await page.getByText('1 thing left over').waitFor();
    await page.getByText('left-behind').waitFor();
    await shoot(page, `real-leftovers-${look.name}`);
    await page.getByRole('button', { name: 'Clean up' }).click();
    await page.getByText('1 thing cleaned up.').first().waitFor();
    await page.getByText('Nothing is left over').waitFor();
    assert.equal((await cloud.state()).primary_ips.some((it) => it.name === 'left-behind'), false);

    await page.getByRole('button', { name: 'Delete everything' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('2 workspaces').waitFor();
    await dialog.getByText(`1 snapshot: of ${look.name}`).waitFor();
    await dialog.getByRole('button', { name: 'Delete everything' }).click();
    await page.getByText('3 things deleted. Nothing of yours is left to pay for.').first().waitFor({ timeout: 30_000 });
    await goTo(page, 'Workspaces');
    await page.getByText('No workspaces, no costs').waitFor();
    await until('the account is empty', async () => {
      const { servers, images, primary_ips: addresses } = await cloud.state();
      return servers.length + images.length + addresses.length === 0;
    });
  }));
}

const create1 = (more = {}) => worker.api('POST', '/vms', { repo_url: 'https://github.com/octocat/Hello-World', ...more });

test('two tabs show the same, each without being told to look', { timeout: 90_000 }, () => story(LOOKS[0], async ({ page, context }) => {
  const { body: { vm: { name } } } = await create1();
  const other = await context.newPage();
  await signIn(other, worker.url, worker.token);
  await row(other, name).getByText('Ready', { exact: true }).waitFor({ timeout: 60_000 });
  await page.reload();
  await row(page, name).getByText('Ready', { exact: true }).waitFor();
  await row(page, name).getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete workspace' }).click();
  // Long before its next poll: the first tab has said that something changed.
  const stands = () => row(other, name).getByText('Ready', { exact: true }).isVisible();
  await until('the other tab knows', async () => !(await stands()), { timeoutMs: 8000 });
  await other.getByText('No workspaces, no costs').waitFor({ timeout: 60_000 });
}));

test('a provider that fails is named, the others go on, and it comes back by itself', { timeout: 90_000 }, () => story(LOOKS[0], async ({ page }) => {
  const { body: { vm: { name } } } = await create1();
  const { body: { vm: { name: second } } } = await create1({ provider: 'scaleway' });
  await page.reload();
  await row(page, name).waitFor();
  await row(page, second).waitFor();
  await cloud.fault({ method: 'GET', path: '/servers', times: null, status: 503 });
  await page.reload();
  await page.getByText('Hetzner Cloud is in trouble').waitFor();
  await row(page, second).waitFor();
  assert.equal(await page.getByText('No workspaces, no costs').isVisible(), false);
  await cloud.clearFaults();
  await row(page, name).waitFor({ timeout: 60_000 });
  await page.getByText('Hetzner Cloud is in trouble').waitFor({ state: 'detached' });
}));

test('a provider that refuses a deletion is quoted in the row, which stays', { timeout: 90_000 }, () => story(LOOKS[2], async ({ page }) => {
  const { body: { vm: { name } } } = await create1();
  await page.reload();
  await cloud.fault({ method: 'DELETE', path: '/servers/*', times: null, status: 503 });
  await row(page, name).getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete workspace' }).click();
  await row(page, name).getByText(/^Not deleted: /).waitFor({ timeout: 60_000 });
  await row(page, name).getByRole('button', { name: /^Delete/ }).waitFor();
}, { expectConsole: [FAILED_REQUEST] }));

test('a slow network is answered by the page at once', { timeout: 90_000 }, () => story(LOOKS[2], async ({ page }) => {
  const { body: { vm: { name } } } = await create1();
  await cloud.fault({ method: 'GET', path: '/servers', times: 1, delay_ms: 3000 });
  await page.reload();
  await page.getByText('Loading…').waitFor();
  await page.locator('.skeletons > div').first().waitFor();
  assert.equal(await page.getByText('No workspaces, no costs').isVisible(), false, 'not known yet is not none');
  await row(page, name).waitFor();
}));

test('a token that stops counting leads to the sign-in, from any view', { timeout: 90_000 }, () => story(LOOKS[0], async ({ page }) => {
  await create1();
  await goTo(page, 'Leftovers');
  await page.getByText('Nothing is left over').waitFor();
  // From now on the Worker gets another token, and refuses it in its own words.
  await page.route(`${worker.url}/orphans`, (route) => route.continue({ headers: { ...route.request().headers(), authorization: 'Bearer revoked' } }));
  await page.getByRole('button', { name: 'Look again' }).click();
  await page.getByText('no longer accepts the token').waitFor();
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length]), [0, 0]);
  assert.equal((await page.content()).includes('mayfly-hello-world'), false, 'nothing of the session stays in the page');
}, { expectConsole: [FAILED_REQUEST] }));

test('the page says what the Worker says of bad input, each at its field', { timeout: 90_000 }, () => story(LOOKS[2], async ({ page }) => {
  await page.goto(`${worker.url}/#new?repo=octocat/Hello-World`);
  await page.getByText('Advanced').click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Not A Name');
  await page.getByLabel('Reachable from').fill('everywhere');
  await page.getByLabel('Environment').fill('TOKEN=hush-hush');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('2 things need a change').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'name');
  assert.equal(await page.getByLabel('Environment').inputValue(), '', 'what counts as secret has left the page');
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('a-name');
  await page.getByLabel('Reachable from').fill('203.0.113.0/24');
  assert.match(await create(page, 'Try again'), /^a-name/);
}, { expectConsole: [FAILED_REQUEST] }));

test('a preview of the page, on one label below an allowed origin, reaches an API elsewhere; another site does not', { timeout: 90_000 }, async () => {
  const { port } = new URL(worker.url);
  const api = await startWorker({ vars: { ...cloud.vars, ALLOWED_ORIGINS: `http://*.localhost:${port}` } });
  try {
    for (const [host, says] of [['preview.localhost', 'No workspaces, no costs'], ['a.preview.localhost', 'ALLOWED_ORIGINS']]) {
      await cloud.reset();
      const url = `http://${host}:${port}`;
      const { page, finish } = await openPage(browser, { origins: [url, api.url], expectConsole: [FAILED_REQUEST, /CORS policy/] });
      await page.goto(url);
      await page.getByLabel('API token').fill(api.token);
      await page.getByLabel('API address').fill(api.url);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText(says).waitFor();
      await finish();
    }
  } finally {
    await api.close();
  }
});

test('the badge may stand on other sites, and nothing else of the page may', async () => {
  const policy = async (path) => (await worker.fetch(path)).headers.get('cross-origin-resource-policy');
  assert.equal(await policy('/badge.svg'), 'cross-origin');
  assert.equal(await policy('/index.html'), 'same-origin');
  assert.equal(await policy('/app.js'), 'same-origin');
  assert.match((await worker.fetch('/badge.svg')).headers.get('content-security-policy'), /default-src 'none'/);
});

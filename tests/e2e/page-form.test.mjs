// The form for a new workspace, against the stub of page-stub.mjs: what of one repository never reaches another, what stays
// for who comes back, and how it fits a phone. What is sent and how errors are told is in page-edge.test.mjs.

import assert from 'node:assert/strict';
import { problem, someSnapshot } from './page-stub.mjs';
import { LOOKS, shoot, signIn, stories, withErrors } from './page-support.mjs';

const story = stories();
const creations = (stub) => stub.seen.filter((it) => it.method === 'POST' && it.path === '/vms').map((it) => it.body);
const repository = (page) => page.getByRole('textbox', { name: 'Repository' });
const gitToken = (page) => page.getByLabel('Git token', { exact: true });

/** A second provider, without large VMs. */
function addScaleway(stub) {
  const [hetzner] = stub.options.providers;
  const sizes = hetzner.sizes.slice(0, 2).map((one) => ({ ...one, location: 'fr-par-1', price_per_hour: one.price_per_hour * 2, offers: [] }));
  stub.options.providers.push({ ...hetzner, name: 'scaleway', title: 'Scaleway', locations: [], sizes });
}

/** As a link elsewhere on the page would. */
const follow = async (page, hash, shows) => {
  await page.evaluate((to) => {
    globalThis.location.hash = to;
  }, hash);
  await page.getByText(shows).first().waitFor();
};

/** Fills in what is nobody else's business, and has its creation refused. */
async function failToCreate(stub, page) {
  await page.getByText('Clones github.com/o/first').waitFor();
  await page.getByText('Advanced').click();
  await gitToken(page).fill('ghp_of_the_first');
  await page.getByLabel('Environment').fill('TOKEN=of-the-first');
  await page.getByLabel('Branch').fill('of-the-first');
  await page.getByLabel('Trust its devcontainer').check();
  stub.answers.set('POST /vms', () => problem(503, 'provider_capacity', 'No room now.'));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('No room now.').waitFor();
  stub.answers.clear();
  const [first] = creations(stub);
  assert.deepEqual([first.git_token, first.env, first.branch, first.trust_repo], ['ghp_of_the_first', { TOKEN: 'of-the-first' }, 'of-the-first', true]);
}

const assertNothingOfIt = (body) => assert.deepEqual(['git_token', 'env', 'branch', 'trust_repo', 'snapshot_id'].filter((name) => name in body), []);

story('a link to another repository begins another form: nothing of the first is sent', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await failToCreate(stub, page);
  await follow(page, '#new?repo=o/second', 'Clones github.com/o/second.');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  const second = creations(stub).at(-1);
  assert.equal(second.repo_url, 'https://github.com/o/second');
  assertNothingOfIt(second);
});

story('neither is it from the list, nor what was typed and never sent, nor a branch that came with the first link', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first&branch=dev' });
  await page.getByText('Clones github.com/o/first, branch dev.').waitFor();
  await page.getByText('Advanced').click();
  await gitToken(page).fill('ghp_never_sent');
  await page.getByLabel('Trust its devcontainer').check();
  await page.getByRole('link', { name: 'Workspaces', exact: true }).first().click();
  await page.getByText('No workspaces, no costs').waitFor();
  assert.equal(await page.evaluate(() => document.getElementById('git_token').value), '', 'a secret does not wait in the document');
  await page.getByLabel('Git address').fill('o/second');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('Clones github.com/o/second.').waitFor();
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  assertNothingOfIt(creations(stub)[0]);
});

story('the same repository without its branch is another form as well', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first&branch=dev' });
  await page.getByText('branch dev').waitFor();
  await follow(page, '#new?repo=o/first', 'Clones github.com/o/first.');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  assertNothingOfIt(creations(stub)[0]);
});

story('a snapshot brings its own repository', withErrors, async ({ stub, page }) => {
  stub.snapshots = [someSnapshot()];
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await failToCreate(stub, page);
  await page.getByRole('link', { name: 'Snapshots', exact: true }).click();
  await page.getByRole('link', { name: 'Start from it' }).click();
  await page.getByText('Starts from').waitFor();
  assert.equal(await repository(page).inputValue(), 'https://github.com/riverside/atlas');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  const { snapshot_id: from, ...second } = creations(stub).at(-1);
  assert.deepEqual([from, second.repo_url], ['hetzner-71', 'https://github.com/riverside/atlas']);
  assertNothingOfIt(second);
});

story('who looks at the list and comes back finds what they typed, without the secrets', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await page.getByRole('radio', { name: /Large/ }).check();
  await failToCreate(stub, page);
  await page.getByLabel('Environment').fill('TYPED=again');
  await page.getByRole('link', { name: 'Workspaces', exact: true }).first().click();
  await page.getByRole('link', { name: 'New workspace' }).click();
  await page.getByText('Clones github.com/o/first, branch of-the-first.').waitFor();
  assert.equal(await page.getByRole('radio', { name: /Large/ }).isChecked(), true);
  assert.equal(await page.getByText('is kept for the next try').filter({ visible: true }).count(), 0);
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('brisk-otter').waitFor();
  const { git_token: token, env, branch, size } = creations(stub).at(-1);
  assert.deepEqual([token, env, branch, size], [undefined, undefined, 'of-the-first', 'large']);
});

story('a secret that waits for the next try can be taken back', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await failToCreate(stub, page);
  await page.getByText('The Git token is kept for the next try').waitFor();
  await page.locator('[data-field=git_token]').getByRole('button', { name: 'Remove' }).click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'git_token');
  await page.getByText('The Git token is kept for the next try').waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('brisk-otter').waitFor();
  const second = creations(stub).at(-1);
  assert.deepEqual(['git_token' in second, second.env], [false, { TOKEN: 'of-the-first' }]);
});

story('what fails after the form was left for another repository is told there, and leaves that one alone', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  let answer;
  stub.answers.set('POST /vms', () => new Promise((resolve) => {
    answer = resolve;
  }));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByRole('button', { name: 'Creating…' }).waitFor();
  await follow(page, '#new?repo=o/second', 'Clones github.com/o/second.');
  answer(problem(400, 'invalid_request', 'There is no such repository.', { errors: [{ field: 'repo_url', detail: 'Not found.' }] }));
  await page.getByText('The workspace of github.com/o/first was not created').waitFor();
  assert.equal(await repository(page).getAttribute('aria-invalid'), null);
  stub.answers.clear();
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  assert.equal(creations(stub).at(-1).repo_url, 'https://github.com/o/second');
});


story('typed over a link, another repository has no branch of its; what waits to be sent again is in sight', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first&branch=dev' });
  await page.getByText('Clones github.com/o/first, branch dev.').waitFor();
  await repository(page).fill('o/second');
  await page.getByText('Clones github.com/o/second.', { exact: true }).waitFor();
  await page.getByText('Advanced').click();
  await gitToken(page).fill('ghp_of_the_second');
  stub.answers.set('POST /vms', () => problem(503, 'provider_capacity', 'No room now.'));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('No room now.').waitFor();
  assert.equal('branch' in creations(stub)[0], false);
  await page.getByText('Advanced').click();
  await page.getByText('The Git token is kept for the next try').waitFor({ state: 'hidden' });
  await repository(page).fill('o/third');
  await page.keyboard.press('Tab');
  await page.getByText('The Git token is kept for the next try').waitFor();
});

story('where the chosen size is not to be had another is chosen, and all prices are of that one', {}, async ({ stub, page }) => {
  addScaleway(stub);
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await page.getByRole('radio', { name: /Large/ }).check();
  const prices = () => page.locator('.offer-price').allTextContents();
  assert.deepEqual(await prices(), ['€0.0232/h', '']);
  await page.getByRole('combobox', { name: 'Location' }).selectOption('hel1');
  assert.equal(await page.getByRole('radio', { name: /Small/ }).isChecked(), true);
  assert.deepEqual(await prices(), ['€0.0105/h', '€0.021/h']);
});

story('two sizes that are the same machine say so', {}, async ({ stub, page }) => {
  const [small, medium] = stub.options.providers[0].sizes;
  Object.assign(medium, small, { size: 'medium' });
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await page.getByRole('radio', { name: /Medium.*The same machine as Small/ }).waitFor();
  assert.equal(await page.getByText('The same machine as').count(), 1);
});

story('on a phone the button is always at hand, and covers neither the end of the form nor what has the focus', { look: LOOKS[2] }, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/first' });
  await page.getByText('Clones github.com/o/first').waitFor();
  await page.getByText('Advanced').click();
  const button = page.getByRole('button', { name: 'Create workspace' });
  const edges = (it) => it.evaluate((element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return { top, bottom, window: innerHeight };
  });
  const bar = page.locator('.create-submit');
  await shoot(page, 'form-at-hand', { fullPage: false });
  const scrollTo = (where) => page.evaluate((at) => globalThis.scrollTo(0, at === 'end' ? document.body.scrollHeight : 0), where);
  await scrollTo('top');
  const first = await edges(button);
  assert.ok(first.top > 0 && first.bottom <= first.window, JSON.stringify(first));
  assert.equal((await edges(bar)).bottom, first.window, 'it stands at the lower edge');
  await page.getByRole('textbox', { name: 'Repository' }).focus();
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab');
    const seen = await page.evaluate(() => {
      const { activeElement: it } = document;
      const { top, bottom } = it.getBoundingClientRect();
      const clear = document.querySelector('.create-submit').getBoundingClientRect().top;
      return { id: it.id || it.value || it.textContent, inForm: Boolean(it.closest('.create-fields')), top, bottom, clear };
    });
    if (!seen.inForm) break;
    assert.ok(seen.top >= 0 && seen.top < seen.clear && (seen.bottom <= seen.clear || seen.bottom - seen.top > seen.clear / 2), `${seen.id} is covered: ${JSON.stringify(seen)}`);
  }
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Create workspace');
  await scrollTo('end');
  const [summary, end] = [await edges(page.locator('.side-body')), await edges(bar)];
  assert.ok(end.top >= summary.bottom && end.bottom <= end.window, 'at the end it has a place of its own');
});

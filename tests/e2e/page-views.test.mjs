// What the views beside the list do when things are not as they should be, and what the keyboard finds there, against the
// stub of page-stub.mjs. That they are accessible is page.test.mjs's business, that they work page-real.test.mjs's.

import assert from 'node:assert/strict';
import { problem, someSnapshot, someVm } from './page-stub.mjs';
import { asked, assertAccessible, LOOKS, pass, row, shoot, signIn, stories, withErrors } from './page-support.mjs';

const story = stories();
const open = async (page, title) => {
  await page.getByRole('link', { name: title, exact: true }).click();
  await page.getByRole('heading', { level: 1, name: title }).waitFor();
};

story('everything goes, twenty at a time, after one question that names it', {}, async ({ stub, page }) => {
  stub.vms = Array.from({ length: 45 }, (_, index) => someVm({ id: `hetzner-${index}`, name: `mayfly-${index}` }));
  stub.snapshots = [someSnapshot()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-0').waitFor();
  await open(page, 'Leftovers');
  await page.getByRole('button', { name: 'Delete everything' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('45 workspaces: ').waitFor();
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(asked(stub, 'DELETE', '/vms'), 0, 'keeping it is the default answer');
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await dialog.getByRole('button', { name: 'Delete everything' }).click();
  await page.getByText('46 things deleted. Nothing of yours is left to pay for.').first().waitFor();
  assert.equal(asked(stub, 'DELETE', '/vms'), 3);
});

story('what could not be deleted is named, and nothing claims to be gone', withErrors, async ({ stub, page }) => {
  stub.vms = [someVm()];
  stub.orphans = [{ provider: 'hetzner', kind: 'vm', id: 'hetzner-9', name: 'mayfly-old', reason: 'expired' }];
  const failed = [{ kind: 'vm', id: 'hetzner-4711', name: 'mayfly-atlas-k3f9', code: 'provider_locked', detail: 'The server is locked.' }];
  stub.answers.set('DELETE /vms', () => ({ status: 200, body: { deleted: [], failed, remaining: 0, detail: 'Not all of it is deleted.' } }));
  stub.answers.set('POST /reap', () => ({ status: 200, body: { dry_run: false, reaped: [], failed: [{ ...stub.orphans[0], reason: 'The server is locked.' }], of_others: 0 } }));
  await signIn(page, stub.url, stub.token, {});
  await open(page, 'Leftovers');
  await page.getByRole('button', { name: 'Clean up' }).click();
  await page.getByText('Nothing could be cleaned up. The next run tries the rest again.').first().waitFor();
  await page.getByText('mayfly-old: The server is locked.').first().waitFor();
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete everything' }).click();
  await page.getByText('mayfly-atlas-k3f9: The server is locked.').first().waitFor();
  assert.equal(await page.getByText('is left to pay for').count(), 0);
  stub.answers.set('DELETE /vms', () => problem(502, 'provider_unavailable', 'The provider is away.'));
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete everything' }).click();
  await page.getByText('Not deleted: The provider is away.').first().waitFor();
});

story('a snapshot that cannot be deleted stays, with the reason; one that can gives the focus on', withErrors, async ({ stub, page }) => {
  stub.snapshots = [someSnapshot(), someSnapshot({ id: 'hetzner-72', description: 'another' })];
  await signIn(page, stub.url, stub.token);
  await open(page, 'Snapshots');
  const remove = async () => {
    await page.getByRole('button', { name: 'Delete with the database filled' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete snapshot' }).click();
  };
  stub.answers.set('DELETE /snapshots/hetzner-71', () => problem(409, 'provider_conflict', 'It is in use.'));
  await remove();
  await page.getByText('Not deleted: It is in use.').waitFor();
  stub.answers.clear();
  await remove();
  await page.getByRole('heading', { name: 'with the database filled' }).waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'another');
});

story('an unknown price is no zero, neither in the list nor in the costs', {}, async ({ stub, page }) => {
  stub.vms = [someVm({ cost: null })];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  const money = (view) => page.locator(`#view-${view} .money dd:not(.money-hint)`).allTextContents();
  await page.getByText('1 without a known price.').waitFor();
  assert.deepEqual(await money('list'), ['–', '–', '–']);
  stub.vms = [someVm({ id: 'hetzner-2', name: 'mayfly-tide-77aa', cost: null }), someVm({ cost: { currency: 'EUR', per_hour: 300, so_far: 1234.5, until_idle: 1500, until_expiry: 2000 } })];
  await page.reload();
  await row(page, 'mayfly-tide-77aa').waitFor();
  await open(page, 'Costs');
  await page.getByText('2 workspaces, 1 without a known price').waitFor();
  assert.deepEqual(await money('costs'), ['€300.00/h', '€1,234.50', '€2,000.00']);
  const figures = await page.locator('#view-costs tbody tr').filter({ hasText: 'atlas' }).locator('td').allTextContents();
  assert.deepEqual(figures.slice(0, 4), ['€300.00/h', '€1,234.50', '€1,500.00', '€2,000.00']);
  await open(page, 'Workspaces');
  await page.getByRole('button', { name: 'Delete mayfly-atlas-k3f9' }).click();
  await page.getByText('It has cost €1,234.50 so far and costs nothing more afterwards.').waitFor();
});

/** Whether an element's box is within another's, padding excluded. */
const within = (inner, outer) => inner.evaluateAll((all, selector) => all.filter((it) => {
  const frame = it.closest(selector);
  const { left, right } = frame.getBoundingClientRect();
  const { paddingLeft, paddingRight, borderRightWidth } = getComputedStyle(frame);
  const range = document.createRange();
  range.selectNodeContents(it);
  const text = range.getBoundingClientRect();
  return text.left < left + parseFloat(paddingLeft) - 0.5 || text.right > right - parseFloat(paddingRight) - parseFloat(borderRightWidth) + 0.5;
}).map((it) => it.textContent), outer);

story('a phone shows every figure: of snapshots within their row, of costs beside its name', { look: LOOKS[2] }, async ({ stub, page }) => {
  const names = ['Per hour', 'So far', 'If idle', 'At most', 'Ends'];
  stub.vms = [someVm(), someVm({ id: 'hetzner-2', name: 'Donaudampfschifffahrtsgesellschaftskapitaensmuetzenarbeitsplatz-zz2f' })];
  stub.snapshots = [
    someSnapshot({ monthly_price: { currency: 'EUR', per_month: 0.0253 } }),
    someSnapshot({ id: 'hetzner-72', size_gb: 1234.5, monthly_price: { currency: 'EUR', per_month: 1234.5 }, expires_at: null }),
  ];
  await signIn(page, stub.url, stub.token);
  await open(page, 'Snapshots');
  await page.getByText('29 days more').waitFor();
  assert.deepEqual(await within(page.locator('.sheet-figures dd'), '.sheet-row'), []);
  await open(page, 'Costs');
  await page.getByRole('img', { name: '2 workspaces on a time axis' }).waitFor();
  const cells = page.locator('#view-costs tbody tr').first().getByRole('cell');
  assert.equal(await cells.count(), 5, 'it is a table for who hears it');
  assert.equal(await page.getByRole('columnheader').count(), 6);
  const shown = await cells.evaluateAll((all) => all.map((it) => getComputedStyle(it, '::before').content.split('"')[1]));
  assert.deepEqual(shown, names);
  assert.deepEqual(await within(page.locator('#view-costs tbody :is(th, td)'), 'tr'), []);
  assert.equal(await page.locator('.table-frame').evaluate((it) => it.scrollWidth - it.clientWidth), 0, 'nothing is out of sight');
});

story('no mark of the time axis runs through a name or a price', {}, async ({ stub, page }) => {
  stub.vms = [someVm(), someVm({ id: 'hetzner-2', name: 'Donaudampfschifffahrtsgesellschaftskapitaensmuetzenarbeitsplatz-zz2f' })];
  await signIn(page, stub.url, stub.token);
  await open(page, 'Costs');
  await page.getByRole('img', { name: '2 workspaces on a time axis' }).waitFor();
  const crossed = await page.evaluate(() => {
    const points = [...document.querySelectorAll('.chart-tick')].flatMap((path) => Array.from({ length: Math.ceil(path.getTotalLength()) + 1 }, (_, at) => path.getPointAtLength(at)));
    const boxes = [...document.querySelectorAll('.chart-name, .chart-cost')].map((it) => [it.textContent, it.getBBox()]);
    const inside = ({ x, y, width, height }) => points.some((it) => it.x >= x && it.x <= x + width && it.y >= y && it.y <= y + height);
    return { points: points.length, words: boxes.length, crossed: boxes.filter(([, box]) => inside(box)).map(([text]) => text) };
  });
  assert.ok(crossed.points > 50, `${crossed.points} points of the marks`);
  assert.deepEqual([crossed.words, crossed.crossed], [4, []]);
});

story('hostile names are text in every view', {}, async ({ stub, page }) => {
  const hostile = '<img src=x onerror=alert(1)>\u202Egnp';
  const shown = '<img src=x onerror=alert(1)>\uFFFDgnp';
  stub.vms = [someVm({ name: hostile })];
  stub.snapshots = [someSnapshot({ description: hostile, repo_url: hostile, provider: hostile, locations: [hostile] })];
  stub.orphans = [{ provider: hostile, kind: hostile, id: hostile, name: hostile, reason: hostile }];
  await signIn(page, stub.url, stub.token);
  await open(page, 'Costs');
  await page.getByRole('rowheader', { name: shown }).waitFor();
  await open(page, 'Leftovers');
  await page.locator('.sheet-name').getByText(shown).waitFor();
  await open(page, 'Snapshots');
  await page.getByRole('heading', { level: 2, name: shown }).waitFor();
  await page.getByRole('link', { name: 'Start from it' }).click();
  await page.locator('.source').getByText(shown).first().waitFor();
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.equal((await page.locator('body').innerText()).includes('\u202E'), false);
});

story('a snapshot that is gone meanwhile does not start anything else', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?snapshot=hetzner-gone' });
  await page.getByText('This snapshot cannot be started from').waitFor();
  assert.equal(await page.getByText('Starts from').isVisible(), false);
});

story('a snapshot decides the provider, and starting afresh gives the choice back', {}, async ({ stub, page }) => {
  stub.options.providers.unshift({ ...stub.options.providers[0], name: 'scaleway', title: 'Scaleway' });
  stub.options.defaults.provider = 'scaleway';
  stub.snapshots = [someSnapshot({ locations: ['hel1'] })];
  await signIn(page, stub.url, stub.token, { hash: '#new?snapshot=hetzner-71' });
  await page.getByText('Starts from').waitFor();
  assert.equal(await page.getByRole('radio', { name: /Hetzner Cloud/ }).isChecked(), true);
  assert.equal(await page.getByRole('radio', { name: /Scaleway/ }).isDisabled(), true);
  assert.deepEqual(await page.getByLabel('Location').locator('option').allTextContents(), ['Cheapest with room', 'Helsinki, FI (hel1)']);
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('brisk-otter').waitFor();
  const { body } = stub.seen.findLast((seen) => seen.method === 'POST' && seen.path === '/vms');
  assert.deepEqual([body.snapshot_id, body.provider, body.repo_url], ['hetzner-71', 'hetzner', 'https://github.com/riverside/atlas']);
  await page.getByRole('button', { name: 'Done' }).click();
  await page.goto(`${stub.url}/#new?snapshot=hetzner-71`);
  await page.getByRole('button', { name: 'Start afresh' }).click();
  assert.equal(await page.getByRole('radio', { name: /Scaleway/ }).isEnabled(), true);
});

story('the menu of a row opens and closes by keyboard, and an update leaves it alone', {}, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  const more = mine.getByLabel('More for mayfly-atlas-k3f9');
  await more.focus();
  await page.keyboard.press('Enter');
  await mine.getByRole('button', { name: 'Copy SSH command' }).waitFor();
  await page.keyboard.press('Tab');
  await pass(page, 30_000);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Copy SSH command');
  await page.keyboard.press('Escape');
  await mine.getByRole('button', { name: 'Copy SSH command' }).waitFor({ state: 'hidden' });
  assert.equal(await more.evaluate((it) => it === document.activeElement), true);
  await page.keyboard.press('Enter');
  await page.mouse.click(5, 5);
  await mine.getByRole('button', { name: 'Copy SSH command' }).waitFor({ state: 'hidden' });
});

story('the SSH command is copied, and the menu says so and stays; what leads elsewhere closes it and keeps the focus', {}, async ({ stub, page, context }) => {
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  const more = mine.getByLabel('More for mayfly-atlas-k3f9');
  await more.click();
  await mine.getByRole('button', { name: 'Copy SSH command' }).click();
  await mine.getByText('Copied', { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Copied');
  const reader = await context.newPage();
  await reader.goto(`${stub.url}/door`);
  assert.equal(await reader.evaluate(() => navigator.clipboard.readText()), 'ssh root@203.0.113.7');
  await reader.close();
  await mine.getByRole('button', { name: 'Copy SSH command' }).waitFor();
  await mine.getByRole('button', { name: 'Take a snapshot' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await mine.getByRole('button', { name: 'Copy SSH command' }).waitFor({ state: 'hidden' });
  assert.equal(await more.evaluate((it) => it === document.activeElement), true);
});

story('a row says whose it is, and what a spot VM cannot do is not offered', {}, async ({ stub, page }) => {
  const { market: _, ...older } = someVm({ id: 'hetzner-3', name: 'mayfly-older' });
  stub.vms = [someVm({ id: 'ec2-1', name: 'mayfly-spot', market: 'spot' }), someVm(), older];
  await signIn(page, stub.url, stub.token);
  const of = async (name) => {
    const one = row(page, name);
    await one.getByText('Details').click();
    const shown = one.locator('[data-el=detailList] > div');
    await shown.first().waitFor();
    const facts = await shown.evaluateAll((all) => Object.fromEntries(all.map((it) => [it.children[0].textContent, it.children[1].textContent])));
    return [facts.Owner, facts.Market, await one.getByText('Spot', { exact: true }).isVisible(), await one.getByRole('button', { name: 'Stop' }).isVisible()];
  };
  assert.deepEqual(await of('mayfly-spot'), ['default', 'Spot: it may be taken back, and cannot be stopped', true, false]);
  assert.deepEqual(await of('mayfly-atlas-k3f9'), ['default', undefined, false, true]);
  assert.deepEqual(await of('mayfly-older'), ['default', undefined, false, true]);
});

story('terminal and log are one click away, signed in', {}, async ({ stub, page, context }) => {
  const urls = { web_ui: `${stub.url}/`, terminal: `${stub.url}/terminal/`, status: `${stub.url}/_mayfly/status` };
  stub.vms = [someVm({ urls })];
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  let popup = context.waitForEvent('page');
  await mine.getByRole('button', { name: 'Terminal' }).click();
  await (await popup).waitForURL(/door\?next=%2Fterminal%2F#one-time-token/);
  await mine.getByLabel('More for').click();
  popup = context.waitForEvent('page');
  await mine.getByRole('button', { name: 'Log and status' }).click();
  await (await popup).waitForURL(/door\?next=%2F_mayfly%2Fstatus#one-time-token/);
});

story('a link to a view that is not there leads to the list, and back goes back', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token);
  await open(page, 'Snapshots');
  await open(page, 'Costs');
  assert.equal(await page.title(), 'Costs · Mayfly');
  assert.equal(await page.getByRole('link', { name: 'Costs', exact: true }).getAttribute('aria-current'), 'page');
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Snapshots' }).waitFor();
  await page.goto(`${stub.url}/#nowhere`);
  await page.getByRole('heading', { level: 1, name: 'Workspaces' }).waitFor();
});

story('the end of the log is there while it boots, follows, and is not asked for when nobody looks', withErrors, async ({ stub, page }) => {
  const boot = { phases: [{ phase: 'docker', seconds: 9 }], reason: null };
  stub.vms = [someVm({ phase: 'devcontainer', services_ready: false, boot })];
  let tail = 'Step 1/9 <img src=x onerror=alert(1)>\n';
  const seen = [];
  stub.answers.set('GET /vms/hetzner-4711/log', () => {
    seen.push(tail);
    return { status: 200, body: { source: 'build', saved_at: new Date().toISOString(), tail } };
  });
  await signIn(page, stub.url, stub.token);
  const vm = row(page, 'mayfly-atlas-k3f9');
  await vm.getByText('Log', { exact: true }).waitFor();
  assert.equal(seen.length, 0, 'nobody has looked yet');
  await vm.getByText('Log', { exact: true }).click();
  const log = vm.getByRole('region', { name: 'End of the log' });
  await log.getByText('Step 1/9 <img src=x onerror=alert(1)>').waitFor();
  tail += 'Step 2/9\n';
  await log.getByText('Step 2/9').waitFor();
  await assertAccessible(page);
  await shoot(page, 'log');
  stub.answers.set('GET /vms/hetzner-4711/log', () => problem(404, 'log_not_kept', 'No bucket keeps logs here.'));
  await vm.getByText('Nothing keeps logs here.').waitFor();
  assert.match(await log.innerText(), /Step 2\/9/, 'what was seen stays');
  await vm.getByText('Log', { exact: true }).click();
  const before = asked(stub, 'GET', '/vms/hetzner-4711/log');
  const polls = asked(stub, 'GET', '/vms');
  while (asked(stub, 'GET', '/vms') < polls + 2) await page.waitForTimeout(100);
  assert.equal(asked(stub, 'GET', '/vms/hetzner-4711/log'), before);
});

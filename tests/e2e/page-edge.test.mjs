// The page's manners when things are not as they should be: failing providers, revoked tokens, lost answers,
// hostile names, blocked tabs, slow networks; and what an update must leave alone.

import assert from 'node:assert/strict';
import { newVm, problem, someVm } from './page-stub.mjs';
import { asked, nextPoll, pass, row, signIn, stories, withErrors } from './page-support.mjs';

const story = stories();

story('a token that is revoked while the page is open leads back to sign-in, with the reason', withErrors, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  stub.token = 'another';
  await nextPoll(page);
  await page.getByText('no longer accepts the token').waitFor();
  assert.equal(await page.getByText('mayfly-atlas-k3f9').count(), 0, 'nothing of the session stays in the page');
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length]), [0, 0]);
});

story('a provider that fails is named, and its workspaces stay as last seen', withErrors, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  stub.vms = [];
  stub.errors = [{ provider: 'hetzner', code: 'provider_unavailable', detail: 'The provider answered with an error.' }];
  await nextPoll(page);
  await page.getByText('Hetzner Cloud is in trouble').waitFor();
  await row(page, 'mayfly-atlas-k3f9').getByText('It may still cost money').waitFor();
  assert.equal(await page.getByText('No workspaces, no costs').isVisible(), false);
  stub.errors = [];
  await nextPoll(page);
  await page.getByText('No workspaces, no costs').waitFor();
});

story('when the API is away the page says so, backs off, and comes back by itself', withErrors, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  stub.answers.set('GET /vms', () => 'drop');
  await nextPoll(page);
  await page.getByText('The Mayfly API does not answer').waitFor();
  await page.getByText('next try in').waitFor();
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  stub.answers.set('GET /vms', () => problem(503, 'provider_rate_limited', 'Too many requests.', { retry_after_seconds: 600 }));
  await page.getByRole('button', { name: 'Try now' }).click();
  await page.getByText('The cloud provider is in trouble').waitFor();
  await page.getByText(/next try in 1\d min/).waitFor();
  const before = asked(stub, 'GET', '/vms');
  await pass(page, 300_000);
  assert.equal(asked(stub, 'GET', '/vms'), before, 'it waits as long as it was told');
  stub.answers.clear();
  const again = page.getByRole('button', { name: 'Try now' });
  await again.focus();
  await pass(page, 500_000);
  await page.getByText('The cloud provider is in trouble').waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement.id), 'list-title', 'the button is gone, the keyboard is not lost');
});

story('a provider that asks to be left alone is, and one that stays away is asked less and less', {}, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  stub.errors = [{ provider: 'scaleway', code: 'provider_rate_limited', detail: 'Too many requests.', retry_after_seconds: 600 }, { provider: 'ovh', code: 'provider_unavailable', detail: 'Away.' }];
  await signIn(page, stub.url, stub.token);
  await page.getByText('Scaleway is in trouble').waitFor();
  const polls = async (ms) => {
    const before = asked(stub, 'GET', '/vms');
    await pass(page, ms);
    return asked(stub, 'GET', '/vms') - before;
  };
  assert.equal(await polls(500_000), 0, 'it waits as long as it was told');
  for (const error of stub.errors) delete error.retry_after_seconds;
  assert.ok((await polls(200_000)) >= 1, 'then it looks again');
  await polls(600_000);
  const late = await polls(600_000);
  assert.ok(late >= 3 && late <= 6, `${late} looks in ten minutes`);
  stub.errors = [];
  await polls(150_000);
  assert.ok((await polls(150_000)) >= 4, 'all is well, and it looks as often as before');
});

story('it asks only while somebody looks, and at once when they look again', {}, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [newVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  const look = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await look(true);
  const before = asked(stub, 'GET', '/vms');
  await page.clock.runFor(600_000);
  assert.equal(asked(stub, 'GET', '/vms'), before);
  const again = page.waitForResponse((response) => response.url().endsWith('/vms'));
  await look(false);
  await again;
  assert.equal(asked(stub, 'GET', '/vms'), before + 1);
});

story('stop, start and one hour more answer in the row at once, and say when they fail', withErrors, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  const one = row(page, 'mayfly-atlas-k3f9');
  await one.getByRole('button', { name: '+1 h' }).click();
  await one.getByText('It ends later.').waitFor();
  stub.answers.set(`POST /vms/${stub.vms[0].id}/stop`, () => problem(409, 'changed_meanwhile', 'Something else changes this VM.'));
  await one.getByRole('button', { name: 'Stop' }).click();
  await one.getByText('Not stopped: Something else changes this VM.').waitFor();
  stub.answers.clear();
  await one.getByRole('button', { name: 'Stop' }).click();
  await one.getByText('The VM saves its work first.').waitFor();
  await one.getByText('Stopping', { exact: true }).waitFor();
  assert.equal(await one.getByRole('button', { name: 'Stop' }).isVisible(), false);
  Object.assign(stub.vms[0], { state: 'stopped', services_ready: false });
  await nextPoll(page);
  await one.getByText('Stopped', { exact: true }).waitFor();
  await one.getByRole('button', { name: 'Start' }).click();
  await one.getByText('The VM starts, for 12 hours at the most.').waitFor();
  assert.deepEqual(stub.seen.filter((it) => it.path.endsWith('/extend')).map((it) => it.body), [{ minutes: 60 }]);
});

story('hostile names are text', {}, async ({ stub, page }) => {
  const hostile = '<img src=x onerror=alert(1)>';
  stub.vms = [someVm({
    name: hostile, repo_url: `https://github.com/o/${hostile}`, branch: '\u202Egnp.exe', owner: hostile, location: '"><script>alert(1)</script>', server_type: '{{7*7}}',
    urls: { terminal: 'javascript:alert(1)', status: 'data:text/html,x', web_ui: 'https://203.0.113.7/' },
    boot: { phases: [], reason: { phase: 'ui', code: 'ui_down', detail: hostile } }, ssh: { command: 'ssh root@203.0.113.7', host_key: hostile },
  }), someVm({ id: 'hetzner-2', name: 'b', repo_url: 'javascript:alert(1)' })];
  stub.errors = [{ provider: hostile, code: 'provider_invalid', detail: hostile }];
  await signIn(page, stub.url, stub.token);
  const shown = row(page, hostile);
  await shown.getByText('Details').click();
  assert.equal(await page.locator('.vm img, .vm script, .notice img').count(), 0);
  assert.equal(await shown.getByText('\uFFFDgnp.exe').count(), 1);
  for (const name of ['Terminal', 'Log and status']) assert.equal(await shown.getByRole('button', { name }).count(), 0, `what is no web address is not offered: ${name}`);
  const harmless = row(page, 'b');
  await harmless.getByLabel('More for b').click();
  for (const name of ['Terminal', 'Log and status']) assert.equal(await harmless.getByRole('button', { name }).count(), 1, name);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('a[href^="javascript:"], a[href^="data:"]').count(), 0);
  await shown.getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('dialog').getByText(hostile).waitFor();
  await page.keyboard.press('Escape');
  assert.match(await page.title(), /Workspaces · Mayfly$/);
});

story('an address with a repository fills the form after sign-in, and creates nothing', {}, async ({ stub, page }) => {
  const link = '#new?repo=' + encodeURIComponent('https://gitlab.com/river/deep/side/-/tree/develop/docs');
  await signIn(page, stub.url, stub.token, { hash: link });
  await page.getByText('Clones gitlab.com/river/deep/side, branch develop.').waitFor();
  assert.equal(asked(stub, 'POST', '/vms'), 0);
  await page.getByRole('textbox', { name: 'Repository' }).fill('not a repository');
  await page.keyboard.press('Enter');
  await page.getByText('An address has no spaces in it.').waitFor();
  assert.equal(asked(stub, 'POST', '/vms'), 0);
});

story('errors appear at their fields all at once, and a secret leaves the page when it is sent', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/r' });
  await page.getByRole('radio', { name: /Large/ }).check();
  await page.getByLabel('Agent key').selectOption('anthropic_api_key');
  await page.getByLabel('Anthropic API key', { exact: true }).fill('sk-ant-very-secret');
  stub.answers.set('POST /vms', () => problem(400, 'invalid_request', 'No.', { errors: [{ field: 'branch', detail: 'There is no such branch.' }, { field: 'repo_url', detail: 'Not found.' }] }));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('There is no such branch.').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'repo_url', 'the first wrong field has the focus');
  assert.equal(await page.getByLabel('Branch').getAttribute('aria-invalid'), 'true');
  const everything = () => page.evaluate(() => [document.documentElement.outerHTML, ...[...document.querySelectorAll('input, textarea')].map((one) => one.value), location.href, ...Object.values(sessionStorage), ...Object.values(localStorage)].join('\n'));
  assert.equal((await everything()).includes('sk-ant-very-secret'), false);
  const first = stub.seen.at(-1);
  assert.equal(first.body.anthropic_api_key, 'sk-ant-very-secret');
  assert.deepEqual([first.body.size, first.body.repo_url, first.body.idle_minutes], ['large', 'https://github.com/o/r', 30]);

  stub.answers.clear();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('brisk-otter').waitFor();
  const second = stub.seen.findLast((seen) => seen.method === 'POST');
  assert.equal(second.body.anthropic_api_key, 'sk-ant-very-secret', 'it need not be typed again');
  assert.equal(second.headers['idempotency-key'], first.headers['idempotency-key']);
  assert.equal((await everything()).includes('sk-ant-very-secret'), false);
});

story('a lost answer is no second workspace', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/r' });
  stub.answers.set('POST /vms', (seen) => {
    stub.created.set(seen.headers['idempotency-key'], { vm: newVm({ id: 'hetzner-9', name: 'mayfly-r-once' }), password: 'made-the-first-time', attempts: [], warnings: ['The web UI is slow today.'] });
    return 'drop';
  });
  // Playwright waits for a navigation after a click, and takes a connection that broke for one now and then.
  await page.getByRole('button', { name: 'Create workspace' }).click({ noWaitAfter: true });
  await page.getByText('never makes a second workspace').waitFor();
  stub.answers.clear();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('made-the-first-time').waitFor();
  await page.getByText('The web UI is slow today.').waitFor();
  const keys = stub.seen.filter((seen) => seen.method === 'POST').map((seen) => seen.headers['idempotency-key']);
  // Chromium itself may repeat a request whose connection broke.
  assert.ok(keys.length >= 2);
  assert.equal(new Set(keys).size, 1);
});

story('deleting answers at once, and rolls back visibly when it fails', withErrors, async ({ stub, page }) => {
  stub.vms = [someVm(), someVm({ id: 'hetzner-2', name: 'mayfly-second-b2' }, 9000)];
  await signIn(page, stub.url, stub.token);
  const first = row(page, 'mayfly-atlas-k3f9');
  let answer;
  stub.answers.set('DELETE /vms/hetzner-4711', () => new Promise((resolve) => {
    answer = resolve;
  }));
  await first.getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete workspace' }).click();
  await first.getByText('Deleting', { exact: true }).waitFor();
  assert.equal(await first.getByRole('button', { name: 'Open' }).count(), 0);
  answer(problem(502, 'provider_unavailable', 'The provider could not delete the server now.'));
  await first.getByText('Not deleted: The provider could not delete the server now.').waitFor();
  await first.getByText('Ready', { exact: true }).waitFor();
  stub.answers.clear();
  await first.getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete workspace' }).click();
  await first.waitFor({ state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'mayfly-second-b2', 'the next row takes the focus');
});

story('keeping it is the default answer, and gives the focus back', {}, async ({ stub, page }) => {
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').getByRole('button', { name: /^Delete/ }).click();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.equal(asked(stub, 'DELETE', '/vms/hetzner-4711'), 0);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Delete mayfly-atlas-k3f9');
});

story('an update keeps focus and open disclosures, and tells a listener only what is new', {}, async ({ stub, page }) => {
  await page.clock.install();
  const vm = newVm({ state: 'running', phase: 'docker' }, 20);
  stub.vms = [vm];
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  await mine.getByText('Details').click();
  await mine.getByRole('button', { name: /^Delete/ }).focus();
  await page.clock.runFor(3000);
  assert.equal(await page.locator('#announcer p').count(), 0);
  vm.phase = 'clone';
  vm.boot = { phases: [{ phase: 'booting', seconds: 12 }, { phase: 'docker', seconds: 9 }], reason: null };
  stub.vms = [newVm({ id: 'hetzner-new', name: 'mayfly-newer-c3' }), vm];
  await nextPoll(page);
  await mine.getByText('The repository is being cloned').waitFor();
  await row(page, 'mayfly-newer-c3').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Delete mayfly-atlas-k3f9');
  assert.equal(await mine.locator('details[open]').count(), 1);
  assert.deepEqual(await page.locator('#announcer p').allTextContents(), ['mayfly-atlas-k3f9: Clone.']);
  const steps = await mine.getByRole('listitem').allTextContents();
  assert.match(steps[0], /Server.*12 s/);
  assert.match(steps[1], /Docker.*9 s/);
});

story('a phase an hour late is longer than usual, and no seconds are promised', {}, async ({ stub, page }) => {
  stub.vms = [newVm({ state: 'running', phase: 'docker', boot: { phases: [{ phase: 'booting', seconds: 20 }], reason: null } }, 3600)];
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  await mine.getByText('longer than usual').waitFor();
  assert.match(await mine.getByRole('progressbar').getAttribute('aria-valuetext'), /longer than usual$/);
});

story('a workspace that waits for an answer is in the title', {}, async ({ stub, page }) => {
  await page.clock.install();
  stub.vms = [someVm()];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  stub.vms[0].attention = 'waiting';
  await nextPoll(page);
  await row(page, 'mayfly-atlas-k3f9').getByText('Waits for your answer').waitFor();
  assert.equal(await page.title(), '(1 waiting) Workspaces · Mayfly');
});

story('a blocked tab needs one more click, and no link stays in the page', {}, async ({ stub, page, context }) => {
  stub.vms = [someVm()];
  await page.addInitScript(() => {
    const { open } = globalThis;
    let calls = 0;
    globalThis.open = (...about) => ((calls += 1) === 1 ? null : open(...about));
  });
  await signIn(page, stub.url, stub.token);
  const mine = row(page, 'mayfly-atlas-k3f9');
  await mine.getByRole('button', { name: 'Open', exact: true }).click();
  const again = mine.getByRole('button', { name: 'Open now' });
  await again.waitFor();
  assert.equal((await page.content()).includes('one-time-token'), false);
  const popup = context.waitForEvent('page');
  await again.click();
  await (await popup).waitForURL(/door#one-time-token/);
  assert.equal(asked(stub, 'POST', '/vms/hetzner-4711/open'), 1);
});

story('an answer that is no web address is not opened', {}, async ({ stub, page, context }) => {
  stub.vms = [someVm()];
  stub.openUrl = 'javascript:alert(document.domain)';
  await signIn(page, stub.url, stub.token);
  const popup = context.waitForEvent('page');
  await row(page, 'mayfly-atlas-k3f9').getByRole('button', { name: 'Open' }).click();
  const tab = await popup;
  if (!tab.isClosed()) await tab.waitForEvent('close');
  await page.getByText('Not opened: the API gave no usable address.').waitFor();
});

story('a slow network is answered at once by the page itself', {}, async ({ stub, page }) => {
  stub.vms = [someVm()];
  let release;
  stub.answers.set('GET /vms', () => new Promise((resolve) => {
    release = () => {
      stub.answers.clear();
      resolve({ status: 200, body: { vms: stub.vms, errors: [], totals: { count: 1, currency: 'EUR', price_per_hour: 0.0128, cost_so_far: 0.02, cost_until_expiry: 0.15 } } });
    };
  }));
  await signIn(page, stub.url, stub.token);
  await page.locator('.skeletons > div').first().waitFor();
  await page.getByText('Loading…').waitFor();
  assert.equal(await page.getByText('No workspaces, no costs').isVisible(), false, 'not known yet is not none');
  release();
  await row(page, 'mayfly-atlas-k3f9').waitFor();
  let open;
  stub.answers.set('POST /vms/hetzner-4711/open', () => new Promise((resolve) => {
    open = () => resolve({ status: 200, body: { url: `${stub.url}/door#t`, expires_in_seconds: 60 } });
  }));
  await row(page, 'mayfly-atlas-k3f9').getByRole('button', { name: 'Open' }).click();
  await page.getByText('Opening…').waitFor({ state: 'attached' });
  open();
  await page.getByRole('button', { name: 'Open', exact: true }).waitFor();
});

story('the keyboard alone does it all', {}, async ({ stub, page }) => {
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focusOn = async (name) => {
    for (let presses = 0; presses < 60; presses += 1) {
      const label = await page.evaluate(() => (document.activeElement.labels?.[0]?.textContent ?? document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent ?? '').trim());
      if (label.startsWith(name)) return;
      await press('Tab');
    }
    assert.fail(`Tab never reached ${name}`);
  };
  await page.goto(stub.url);
  await page.getByLabel('API token').waitFor();
  await page.keyboard.type(stub.token);
  await press('Enter');
  await page.getByText('No workspaces, no costs').waitFor();
  await focusOn('New workspace');
  await press('Enter');
  await page.getByRole('textbox', { name: 'Repository' }).waitFor();
  await page.waitForFunction(() => document.activeElement.id === 'repo_url');
  await page.keyboard.type('riverside/atlas');
  await focusOn('Medium');
  await press('ArrowLeft');
  await focusOn('Create workspace');
  await press('Enter');
  await page.getByText('brisk-otter').waitFor();
  await focusOn('Done');
  await press('Enter');
  await page.waitForFunction(() => document.activeElement.textContent === 'mayfly-atlas-ab12');
  assert.equal(stub.seen.find((seen) => seen.method === 'POST').body.size, 'small');
  await focusOn('Delete mayfly-atlas-ab12');
  await press('Enter');
  await focusOn('Delete workspace');
  await press('Enter');
  await page.getByText('No workspaces, no costs').waitFor();
});

story('no room anywhere is told place by place', withErrors, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new?repo=o/r' });
  const attempts = [{ server_type: 'cx33', location: 'fsn1', outcome: 'capacity' }, { server_type: 'cx33', location: 'hel1', outcome: 'capacity' }];
  stub.answers.set('POST /vms', () => problem(503, 'provider_capacity', 'Hetzner Cloud has no room for this size now.', { attempts }));
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('The cloud provider is in trouble').waitFor();
  await page.getByText('Hetzner Cloud has no room for this size now.').waitFor();
  await page.getByText('cx33 in hel1: no room').waitFor();
});

story('choices follow each other: a location has its prices, the summary its worst case', {}, async ({ stub, page }) => {
  await signIn(page, stub.url, stub.token, { hash: '#new' });
  const side = page.locator('.create-side');
  await side.getByText('At most €0.15, if it runs for all 12 h.').waitFor();
  await page.getByLabel('Location').selectOption('hel1');
  await side.getByText('€0.0154/h').waitFor();
  assert.equal(await page.getByRole('radio', { name: /Large/ }).isDisabled(), true);
  await page.getByText('Advanced').click();
  await page.getByLabel('Delete at the latest after').fill('500');
  await page.getByRole('textbox', { name: 'Repository' }).fill('o/r');
  await page.getByRole('button', { name: 'Create workspace' }).click();
  await page.getByText('Between 1 and 168 hours.').waitFor();
  assert.equal(asked(stub, 'POST', '/vms'), 0);
});

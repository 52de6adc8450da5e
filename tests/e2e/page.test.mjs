// The page in Chromium: the whole story, every view in every look, signing in, and its policy, against the stub
// of page-stub.mjs. What happens when things go wrong is in page-edge.test.mjs.
// With MAYFLY_URL and MAYFLY_TOKEN the whole story runs against that API instead (it must allow the page's
// origin: set MAYFLY_PAGE_PORT to have a fixed one); everything else needs the stub's bad manners.

import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { newVm, problem, someSnapshot, someVm, startStub } from './page-stub.mjs';
import { asked, assertAccessible, FAILED_REQUEST, LOOKS, row, shoot, signIn, stories, withErrors } from './page-support.mjs';

const REPO = 'https://github.com/riverside/atlas';
const story = stories();

const real = process.env.MAYFLY_URL;
const whole = { timeout: 300_000, port: Number(process.env.MAYFLY_PAGE_PORT ?? 0), origins: real ? [new URL(real).origin] : [] };
story('the whole story: sign in, create, watch, open, delete', whole, async ({ stub, page, context }) => {
  await signIn(page, stub.url, real ? process.env.MAYFLY_TOKEN : stub.token, { apiUrl: real });
  if (!real) {
    await page.getByText('No workspaces, no costs').waitFor();
    await page.getByLabel('Git address').fill('riverside/atlas');
    await page.getByRole('button', { name: 'Continue' }).click();
  } else await page.getByRole('link', { name: 'New workspace' }).click();
  const repository = page.getByRole('textbox', { name: 'Repository' });
  await repository.fill(real ? REPO : `${REPO}/tree/feature/tides`);
  await page.getByText('Clones github.com/riverside/atlas').waitFor();
  await page.getByRole('button', { name: 'Create workspace' }).click();

  const dialog = page.getByRole('dialog');
  await dialog.getByText('Copy password').click({ timeout: 60_000 });
  await dialog.getByText('Copied').waitFor();
  const password = await page.getByRole('status', { name: 'Password' }).textContent();
  assert.ok(password.length >= 8);
  // The page itself may not read the clipboard, so another one does.
  const reader = await context.newPage();
  await reader.goto(`${stub.url}/door`);
  assert.equal(await reader.evaluate(() => navigator.clipboard.readText()), password);
  await reader.close();
  const name = (await dialog.getByRole('heading', { level: 2 }).textContent()).replace(' is on its way', '');
  await dialog.getByRole('button', { name: 'Done' }).click();
  // Shown once: it leaves the document when the dialog has closed.
  await page.waitForFunction((it) => !document.documentElement.outerHTML.includes(it), password);

  const mine = row(page, name);
  await mine.getByText('Starting').waitFor();
  await mine.getByRole('progressbar').waitFor();
  if (!real) {
    const [vm] = stub.vms;
    assert.equal(vm.branch, 'feature/tides');
    Object.assign(vm, { ...someVm({ id: vm.id, name: vm.name, repo_url: vm.repo_url }, 100) });
  }
  await mine.getByText('Ready', { exact: true }).waitFor({ timeout: 240_000 });

  const popup = context.waitForEvent('page');
  await mine.getByRole('button', { name: 'Open' }).click();
  const tab = await popup;
  await tab.waitForURL((url) => url.protocol !== 'about:');
  assert.equal(await tab.evaluate(() => globalThis.opener), null);
  await tab.close();

  await mine.getByRole('button', { name: `Delete ${name}` }).click();
  await page.getByRole('dialog').getByText('not pushed').waitFor();
  await page.getByRole('button', { name: 'Delete workspace' }).click();
  await mine.waitFor({ state: 'detached', timeout: 60_000 });
});

for (const look of LOOKS) {
  story(`every view is accessible and fits: ${look.name}`, { look, ...withErrors, timeout: 120_000 }, async ({ stub, page }) => {
    const check = async (name) => {
      await shoot(page, `${name}-${look.name}`);
      await assertAccessible(page, name);
    };
    stub.healthz.simulation = true;
    stub.options.simulation = { detail: 'This is a simulation: the servers are imagined, and nothing costs money.' };
    await page.goto(stub.url);
    await page.getByText('This is a simulation').waitFor();
    await check('sign-in');
    await page.getByLabel('API token').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('does not accept this token').waitFor();
    await check('sign-in-refused');
    await signIn(page, stub.url, stub.token);
    await page.getByText('the servers are imagined').waitFor();
    await page.getByText('No workspaces, no costs').waitFor();
    await check('empty');

    stub.errors = [{ provider: 'scaleway', code: 'provider_unauthorized', detail: 'The provider refused the credential.' }];
    stub.vms = [
      newVm({
        id: 'hetzner-1', name: 'mayfly-relay-8ccd', state: 'running', phase: 'devcontainer', repo_url: 'https://github.com/riverside/relay', branch: 'feature/websocket-reconnect',
        boot: { phases: [{ phase: 'booting', seconds: 21 }, { phase: 'docker', seconds: 18 }, { phase: 'clone', seconds: 3 }], reason: null }, urls: { status: 'https://203.0.113.9/_mayfly/status' },
      }, 70),
      someVm({ attention: 'waiting' }),
      someVm({ id: 'hetzner-3', name: 'Donaudampfschifffahrtsgesellschaftskapitaensmuetzenarbeitsplatz-zz2f', phase: 'failed', services_ready: false, owner: 'grace', boot: { phases: [{ phase: 'booting', seconds: 25 }, { phase: 'docker', seconds: 20 }], reason: { phase: 'clone', code: 'auth_failed' } } }, 900),
    ];
    await page.reload();
    await row(page, 'mayfly-atlas-k3f9').waitFor();
    await check('list');
    await row(page, 'mayfly-atlas-k3f9').getByText('Why is it not idle?').click();
    await row(page, 'mayfly-atlas-k3f9').getByText('Details').click();
    await row(page, 'mayfly-atlas-k3f9').getByText('Kept alive by').waitFor();
    await check('list-open');
    await page.getByRole('button', { name: 'Delete mayfly-atlas-k3f9' }).click();
    await check('delete');
    await page.getByRole('button', { name: 'Keep it' }).click();
    await row(page, 'mayfly-atlas-k3f9').getByLabel('More for mayfly-atlas-k3f9').click();
    await check('menu');
    await page.getByRole('button', { name: 'Take a snapshot' }).click();
    await page.getByLabel('Description').waitFor();
    await check('snapshot');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('link', { name: 'Costs' }).click();
    await page.getByRole('img', { name: '3 workspaces on a time axis' }).waitFor();
    await check('costs');

    await page.goto(`${stub.url}/#new?repo=${REPO}`);
    await page.getByRole('textbox', { name: 'Repository' }).waitFor();
    await page.getByText('Clones github.com/riverside/atlas').waitFor();
    await check('new');
    stub.answers.set('POST /vms', () => problem(400, 'invalid_request', 'No.', { errors: [{ field: 'name', detail: 'Only letters, digits and dashes.' }, { field: 'size', detail: 'Not here.' }, { field: 'env.K', detail: 'too long' }] }));
    await page.getByRole('button', { name: 'Create workspace' }).click();
    await page.getByText('3 things need a change').waitFor();
    await check('new-errors');
    stub.answers.clear();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('brisk-otter').waitFor();
    await check('created');
  });

  story(`so are the other views: ${look.name}`, { look, ...withErrors, timeout: 120_000 }, async ({ stub, page }) => {
    const check = async (name) => {
      await shoot(page, `${name}-${look.name}`);
      await assertAccessible(page, name);
    };
    const go = async (view, title) => {
      await page.getByRole('link', { name: title, exact: true }).click();
      await page.getByRole('heading', { level: 1, name: title }).waitFor();
    };
    await signIn(page, stub.url, stub.token);
    await go('snapshots', 'Snapshots');
    await page.getByText('No snapshots').waitFor();
    await check('snapshots-empty');
    await go('costs', 'Costs');
    await page.getByText('Nothing runs, nothing is billed').waitFor();
    await check('costs-empty');
    await go('leftovers', 'Leftovers');
    await page.getByText('Nothing is left over').waitFor();
    await check('leftovers-empty');
    stub.snapshots = [
      someSnapshot({ monthly_price: { currency: 'EUR', per_month: 0.0253 } }),
      someSnapshot({ id: 'hetzner-72', description: 'Donaudampfschifffahrtsgesellschaftskapitaensmuetzenschnappschuss', is_clean: false, repo_url: null, expires_at: null }),
      someSnapshot({ id: 'hetzner-73', description: 'just now', is_ready: false, size_gb: null }),
    ];
    stub.orphans = [
      { provider: 'hetzner', kind: 'vm', id: 'hetzner-9', name: 'mayfly-old-aaaa', reason: 'expired' },
      { provider: 'hetzner', kind: 'primary_ip', id: '77', name: 'Donaudampfschifffahrtsgesellschaftskapitaensmuetzenadresse', reason: 'belongs to no VM', monthly_price: { currency: 'EUR', per_month: 0.6 } },
    ];
    stub.vms = [someVm()];
    await go('snapshots', 'Snapshots');
    await page.getByText('with the database filled').waitFor();
    await check('snapshots');
    await page.getByRole('button', { name: 'Delete with the database filled' }).click();
    await page.getByRole('dialog').getByText('goes on').or(page.getByRole('dialog').getByText('go on')).waitFor();
    await check('snapshot-delete');
    await page.getByRole('button', { name: 'Keep it' }).click();
    await go('leftovers', 'Leftovers');
    await page.getByText('2 things left over').waitFor();
    await check('leftovers');
    await page.getByRole('button', { name: 'Delete everything' }).click();
    await page.getByRole('dialog').getByText('3 snapshots').waitFor();
    await check('delete-all');
    await page.getByRole('button', { name: 'Keep it all' }).click();
    stub.options.providers.push({ ...stub.options.providers[0], name: 'digitalocean', title: 'DigitalOcean', currency: 'USD', markets: ['on-demand', 'spot'] });
    await page.goto(`${stub.url}/#new?snapshot=hetzner-71`);
    await page.reload();
    await page.getByText('Starts from').waitFor();
    await page.getByText('Advanced').click();
    await check('new-snapshot');
    // The document is long, and axe is thorough: one look of each width.
    if (!['desktop-light', 'phone-dark'].includes(look.name)) return;
    await page.goto(`${stub.url}/docs.html`);
    await page.getByRole('heading', { name: 'Create a workspace' }).or(page.getByText('Create a workspace')).first().waitFor();
    await shoot(page, `docs-${look.name}`, { fullPage: false });
    await assertAccessible(page, 'docs');
  });
}

story('the first view is small, ours alone, and under a strict policy', {}, async ({ stub, page }) => {
  const response = await page.goto(stub.url);
  await page.getByLabel('API token').waitFor();
  const policy = response.headers()['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*(?!;|\s|$)[a-z]/);
  // The API is nearly always elsewhere: anywhere with https, or on this very machine.
  const connect = policy.split(';').map((it) => it.trim().split(/\s+/)).find(([name]) => name === 'connect-src');
  assert.deepEqual(connect.slice(1), ["'self'", 'https:', 'http://127.0.0.1:*', 'http://localhost:*']);
  for (const name of ['x-content-type-options', 'referrer-policy', 'cross-origin-opener-policy', 'permissions-policy', 'x-frame-options']) assert.ok(response.headers()[name], name);
  // Nothing but one sheet stands before the first paint.
  const blocking = await page.evaluate(() => performance.getEntriesByType('resource').filter((it) => it.renderBlockingStatus === 'blocking').map((it) => new URL(it.name).pathname));
  assert.deepEqual(blocking, ['/styles/page.css']);
  let bytes = 0;
  for (const path of new Set(stub.pageHits)) bytes += gzipSync(Buffer.from(await (await fetch(stub.url + path)).arrayBuffer())).length;
  assert.ok(stub.pageHits.length > 5 && bytes < 50_000, `${bytes} bytes`);
  console.log(`# first view: ${bytes} bytes gzip in ${new Set(stub.pageHits).size} files`);
});

story('an injected script does not run, and text is never parsed as markup', { expectConsole: [/Content Security Policy/, /TrustedHTML/, /Refused to/, /requires 'Trusted/] }, async ({ stub, page }) => {
  await page.goto(stub.url);
  const outcome = await page.evaluate(() => {
    const script = document.createElement('script');
    try {
      script.textContent = 'globalThis.injected = true';
      document.body.append(script);
    } catch {
      // Trusted Types may refuse even this.
    }
    let parsed = true;
    try {
      document.body.insertAdjacentHTML('beforeend', '<b id="parsed">x</b>');
    } catch {
      parsed = false;
    }
    return { injected: Boolean(globalThis.injected), parsed };
  });
  assert.deepEqual(outcome, { injected: false, parsed: false });
});

story('sign-in explains what is wrong and where', withErrors, async ({ stub, page }) => {
  await page.goto(stub.url);
  const submit = page.getByRole('button', { name: 'Sign in' });
  await submit.click();
  await page.getByText('Type the API token').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'token');
  await page.getByLabel('API token').fill('wrong');
  await submit.click();
  await page.getByText('does not accept this token').waitFor();
  stub.answers.set('GET /options', () => problem(503, 'misconfigured', 'Not configured.', { errors: [{ field: 'SIGNING_KEY', detail: 'is missing' }, { field: 'API_TOKEN', detail: 'is too short' }] }));
  await submit.click();
  await page.getByText('SIGNING_KEY: is missing').waitFor();
  await page.getByText('API_TOKEN: is too short').waitFor();
  stub.answers.set('GET /options', () => ({ status: 200, body: '<html>' }));
  await submit.click();
  await page.getByText('not what a Mayfly API says').waitFor();
  stub.answers.set('GET /options', () => 'drop');
  await submit.click();
  await page.getByText('The API cannot be reached').waitFor();
  await page.getByLabel('API address').fill('http://example.org');
  await submit.click();
  await page.getByText('must begin with https://').waitFor();
});

story('an API elsewhere works when it allows this page, and is explained when it does not', { expectConsole: [FAILED_REQUEST, /CORS policy/] }, async ({ stub, page, origins }) => {
  let allowed = null;
  const api = await startStub({ allowOrigin: () => allowed });
  origins.push(api.url);
  try {
    await page.goto(stub.url);
    await page.getByLabel('API token').fill(api.token);
    await page.getByLabel('API address').fill(`${api.url}/`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('ALLOWED_ORIGINS').waitFor();
    allowed = stub.url;
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('No workspaces, no costs').waitFor();
    assert.equal(asked(stub, 'GET', '/vms'), 0);
    assert.ok(asked(api, 'GET', '/vms') > 0);
  } finally {
    await api.stop();
  }
});

story('the policy lets the page ask an API at any https address', { expectConsole: [FAILED_REQUEST] }, async ({ stub, page, origins }) => {
  const elsewhere = 'https://mayfly.someone.workers.dev';
  origins.push(elsewhere);
  const asked = [];
  await page.route(`${elsewhere}/**`, (route) => {
    asked.push(new URL(route.request().url()).pathname);
    return route.fulfill({ status: 401, contentType: 'application/problem+json', headers: { 'access-control-allow-origin': stub.url }, body: JSON.stringify(problem(401, 'unauthorized', 'No.').body) });
  });
  await page.goto(stub.url);
  await page.getByLabel('API token').fill(stub.token);
  await page.getByLabel('API address').fill(elsewhere);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('does not accept this token').waitFor();
  assert.ok(asked.includes('/options'), asked.join());
});

/** Elements that move by themselves or glide when they change, as the browser reckons. */
const moving = (page) => page.evaluate(() => {
  const long = (times) => times.split(',').some((it) => parseFloat(it) > 0);
  const all = [...document.querySelectorAll('*')].map((it) => [it, getComputedStyle(it)]);
  return {
    animated: document.getAnimations().length + all.filter(([, style]) => style.animationName !== 'none').length,
    gliding: all.filter(([, style]) => long(style.transitionDuration)).length,
  };
});

story('nothing moves for who wants it still, and something does for the others', {}, async ({ stub, page }) => {
  stub.vms = [newVm({ state: 'running', phase: 'docker' }, 20)];
  await signIn(page, stub.url, stub.token);
  await row(page, 'mayfly-atlas-k3f9').getByRole('progressbar').waitFor();
  assert.deepEqual(await moving(page), { animated: 0, gliding: 0 });
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  const { animated, gliding } = await moving(page);
  assert.ok(animated > 0 && gliding > 0, `${animated} animated, ${gliding} gliding`);
});

story('the token stays in the tab, or on the device if it is mine, and leaves with one click', {}, async ({ stub, page, context }) => {
  const kept = () => page.evaluate(() => [sessionStorage.length, localStorage.length]);
  await signIn(page, stub.url, stub.token);
  assert.deepEqual(await kept(), [1, 0]);
  await page.reload();
  await page.getByRole('heading', { name: 'Workspaces', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in to Mayfly' }).waitFor();
  assert.deepEqual(await kept(), [0, 0]);

  await page.getByLabel('This device is mine').check();
  await page.getByLabel('API token').fill(stub.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Workspaces', exact: true }).waitFor();
  assert.deepEqual(await kept(), [0, 1]);
  assert.equal((await page.content()).includes(stub.token), false);
  assert.equal(await page.evaluate(() => document.getElementById('token').value), '');

  const second = await context.newPage();
  await second.goto(stub.url);
  await second.getByRole('heading', { name: 'Workspaces', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await second.getByRole('heading', { name: 'Sign in to Mayfly' }).waitFor();
});

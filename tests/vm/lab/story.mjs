// The main story, for any image and web UI: create, boot, sign in, a prompt in the terminal (and in the UI, where the
// caller says how), leave, idle, gone, nothing left.
import { KEYS } from './lab.mjs';
import { accepts, newPage, openPorts, shellPrompt, terminalText, type } from './look.mjs';

/**
 * Tells it.
 * @param {object} lab
 * @param {{webUi: string, idleMinutes: number, prompt?: (page: object, text: string) => Promise<void>}} options `prompt`: types
 *   a prompt into the web UI, and returns when its answer is there
 */
export async function story(lab, { webUi, idleMinutes, prompt }) {
  const { assert, anthropic, cloud, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n', 'src/app.js': 'export const answer = 42;\n' } });

  const made = await lab.step('create through the API', () =>
    lab.create({ repo_url: git.url('shop'), web_ui: webUi, idle_minutes: idleMinutes, anthropic_api_key: KEYS.anthropic }));
  const { id, guest } = made;

  const vm = await lab.step('boot to ready', () => lab.ready(id));
  assert.equal(vm.services_ready, true);
  assert.equal(vm.boot.reason, null, 'nothing had to be given up');
  assert.deepEqual(vm.boot.phases.map((it) => it.phase), ['docker', 'clone', 'devcontainer', 'ui']);
  process.stdout.write(`    ${vm.boot.phases.map((it) => `${it.phase} ${it.seconds} s`).join(', ')}\n`);

  await lab.step('cloud-init has nothing to complain about', async () => {
    assert.deepEqual(JSON.parse(guest.read('var/lib/cloud/data/result.json')).v1.errors, []);
    const status = JSON.parse(guest.read('var/lib/cloud/data/status.json')).v1;
    for (const stage of Object.values(status)) assert.deepEqual(stage?.recoverable_errors ?? {}, {});
  });

  await lab.step('the API knows the host key that SSH shows, and the door’s certificate is trusted', async () => {
    const shown = (await guest.sh('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')).split(' ')[1];
    assert.equal(vm.ssh.host_key, shown);
    assert.equal(vm.tls.state, 'trusted');
  });

  await lab.step('from outside only 443, 80 and 22 answer', async () => {
    for (const port of [443, 22]) assert.ok(await accepts(guest.address, port, 10_000), `port ${port}`);
    const open = await openPorts(guest.address);
    assert.deepEqual(open.filter((it) => ![443, 80, 22].includes(it)), []);
  });

  const browser = await lab.browser();
  const page = await newPage(browser);
  await lab.step('a stranger gets the sign-in page and nothing else', async () => {
    for (const url of [vm.urls.web_ui, vm.urls.terminal, vm.urls.status]) {
      const answer = await page.goto(url);
      await page.getByLabel('Password of this workspace').waitFor();
      const headers = answer.headers();
      assert.deepEqual([headers['x-content-type-options'], headers['referrer-policy'], headers.server], ['nosniff', 'no-referrer', undefined]);
      assert.match(headers['content-security-policy'], /frame-ancestors/);
    }
  });

  await lab.step('one click signs in, once', async () => {
    const { body } = await lab.api('POST', `/vms/${id}/open`);
    await page.goto(body.url);
    await page.waitForURL((url) => !url.pathname.startsWith('/_mayfly'));
    assert.ok(!page.url().includes('#'), 'the link does not stay in the address');
    const { httpOnly, secure, sameSite } = (await page.context().cookies()).find((it) => it.name === '__Host-mayfly');
    assert.deepEqual([httpOnly, secure, sameSite], [true, true, 'Lax']);
    const again = await newPage(browser);
    await again.goto(body.url);
    await again.getByText('This link was used already').waitFor();
    await again.context().close();
  });

  if (prompt) {
    await lab.step('a prompt typed into the UI reaches Claude Code in the container', async () => {
      anthropic.say('The meaning is in the lab.');
      await prompt(page, 'what is the meaning?');
      assert.ok(anthropic.requests.some((it) => it.prompt.includes('what is the meaning?') && it.key === 0));
      await lab.shoot(page, `ui-${webUi}`);
    });
  }

  await lab.step('a prompt typed into the terminal does, too', async () => {
    anthropic.say('The answer is forty-two, says the lab.');
    await page.goto(vm.urls.terminal);
    await shellPrompt(page, guest);
    await type(page, 'pwd; claude -p "what is the answer?"');
    await until('the answer', async () => (await terminalText(page)).includes('forty-two, says the lab'), { timeoutMs: 90_000 });
    assert.match(await terminalText(page), /\/workspaces\/shop/);
    await lab.shoot(page, 'terminal');
    const said = anthropic.requests.filter((it) => it.prompt.includes('what is the answer?'));
    assert.ok(said.length > 0 && said.every((it) => it.key === 0), 'with the key of the request');
  });

  await lab.step('its notification reaches the API within seconds', () =>
    until('attention', async () => (await lab.vm(id)).attention === 'done', { timeoutMs: 15_000 }));

  await lab.step('the password opens the door, too', async () => {
    const other = await newPage(browser);
    await other.goto(vm.urls.status);
    await other.getByLabel('Password of this workspace').fill(made.password);
    await other.getByRole('button', { name: 'Sign in' }).click();
    await other.getByRole('rowheader', { name: 'Phase' }).waitFor();
    await lab.shoot(other, 'status');
    await other.context().close();
  });

  await lab.step('when everybody has left it deletes itself', async () => {
    await page.context().close();
    await lab.gone(id, { timeoutMs: 360_000 });
    assert.match(guest.read('var/log/mayfly/idle.log'), /by_worker: accepted/);
  });

  await lab.step('nothing is left', async () => {
    const empty = async () => {
      await cloud.worker.cron();
      const state = await cloud.fake.state();
      return ['servers', 'primary_ips', 'ssh_keys', 'firewalls', 'volumes'].every((kind) => state[kind].length === 0);
    };
    await until('the account is as empty as before', empty, { timeoutMs: 120_000, everyMs: 2000 });
  });
}

/** Leaves a file that is nowhere else, and waits until the VM has gone with it on a branch of the repository. */
export async function rescued({ assert, git, gone }, { id, guest }, repo) {
  await guest.inside('echo unsaved >notes.txt');
  await gone(id, { timeoutMs: 360_000 });
  const rescue = Object.keys(git.branches(repo)).find((it) => it.startsWith('mayfly/rescue-'));
  assert.ok(rescue, `branches: ${Object.keys(git.branches(repo))}`);
  assert.equal(git.show(repo, rescue, 'notes.txt'), 'unsaved\n');
}

// The other web UIs: each is installed, comes up behind the door, and shows itself after one click.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { cacheDir } from '../../run/prepare.mjs';
import { KEYS } from '../lab/lab.mjs';
import { newPage } from '../lab/look.mjs';
import { OUTSIDE } from '../lab/network.mjs';
import { holds, processes } from '../lab/secrets.mjs';

export const minutes = 40;
export const withCodeServer = true;

const QUESTION = 'what is the meaning?';
const ANSWER = 'The meaning is in the lab.';

/** What each shows, how a prompt is typed into those that are for an agent, and the archive on GitHub that it is installed from:
 * taken from .cache/vm-lab/github, if it is there. */
const UIS = [
  { name: 'ttyd', shows: '.xterm' },
  { name: 'code-server', shows: '.monaco-workbench' },
  {
    name: 'claude-code-web', shows: '#tabNewBtn', github: /claude-code-web/,
    async prompt(page) {
      // Without a session it asks for a folder by itself.
      await page.getByRole('button', { name: 'Select This Folder' }).click();
      // Enter, because a button covers the one of the form.
      await page.locator('#newSessionModal.active').waitFor();
      await page.locator('#sessionName').press('Enter');
      await page.locator('#newSessionModal.active').waitFor({ state: 'detached' });
      await page.locator('#startBtn').click();
      // What it starts is the container's, in the workspace, with its questions answered.
      await page.locator('.xterm-rows').filter({ hasText: '/workspaces/shop' }).first().waitFor({ timeout: 60_000 });
      await page.locator('.xterm').first().click();
      await page.keyboard.type(QUESTION, { delay: 20 });
      await page.keyboard.press('Enter');
    },
  },
  {
    name: 'cui', shows: 'textarea', github: /cui/,
    async prompt(page) {
      await page.getByText('Select directory').click();
      await page.getByPlaceholder('Enter a directory...').fill('/workspaces/shop');
      await page.getByPlaceholder('Enter a directory...').press('Enter');
      await page.locator('textarea').first().fill(QUESTION);
      await page.locator('textarea').first().press('Control+Enter');
      // The page misses an answer that comes at once, until it is loaded again.
      await page.waitForURL(/\/c\//);
      await page.reload();
      await page.getByText(ANSWER).first().waitFor({ timeout: 90_000 });
    },
  },
  {
    // It asks for an agent once its page has reached its agent server. Its server and what it writes are what the idle check
    // goes by (cloud-init/workspace/work.py).
    name: 'openhands', shows: 'text=Choose your agent',
    check: '! grep -qs "[s]ession-api-key" /proc/[0-9]*/cmdline && test -d /home/dev/.openhands/agent-canvas/dev_conversations && grep -qx "$(pgrep -f agent-server | head -n 1)" /sys/fs/cgroup/system.slice/mayfly-ui.service/cgroup.procs',
    async prompt(page) {
      await page.getByRole('button', { name: 'Confirm preferences' }).click();
      await page.getByTestId('onboarding-agent-option-claude-code').click();
      await page.getByTestId('onboarding-agent-next').click();
      await page.getByTestId('onboarding-acp-secret-ANTHROPIC_API_KEY').fill(KEYS.anthropic);
      await page.getByTestId('onboarding-acp-secrets-next').click();
      await page.getByTestId('onboarding-hello-input').fill(QUESTION);
      await page.getByTestId(/launch|send|submit/).first().click();
      await page.getByText(ANSWER).first().waitFor({ timeout: 120_000 });
    },
  },
];
/** Names, separated by commas: those alone. */
const ONLY = process.env.MAYFLY_LAB_UIS?.split(',');

export default async function uis(lab) {
  const { anthropic, assert, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const browser = await lab.browser();
  front.break('github.com', ({ url }) => {
    const [, repo, commit] = /^\/[^/]+\/([^/]+)\/archive\/([0-9a-f]{40})\.tar\.gz$/.exec(url) ?? [];
    const file = repo && join(cacheDir(), 'vm-lab/github', `${repo}-${commit}.tar.gz`);
    return file && existsSync(file) ? { status: 200, body: readFileSync(file) } : undefined;
  });
  const versions = readFileSync(new URL('../../../cloud-init/workspace/versions', import.meta.url), 'utf8');
  for (const { name, shows, github, prompt, check = 'true' } of UIS.filter((it) => !ONLY || ONLY.includes(it.name))) {
    const commits = versions.match(/[0-9a-f]{40}/g);
    const isThere = !github || commits.some((it) => existsSync(join(cacheDir(), 'vm-lab/github', `${name}-${it}.tar.gz`)));
    if (!isThere) {
      process.stdout.write(`  - ${name}: not tried, its archive is not in .cache/vm-lab/github\n`);
      continue;
    }
    await lab.step(name, async () => {
      const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: name, anthropic_api_key: KEYS.anthropic });
      const vm = await lab.ready(id, { timeoutMs: 900_000 });
      assert.equal(vm.boot.reason, null, JSON.stringify(vm.boot));
      const listening = await guest.sh("ss -Hltn | awk '{print $4}'");
      // Everything but the door, its challenges and SSH listens on loopback.
      const open = listening.split('\n').filter((it) => !/^(127\.0\.0\.\d+|\[::1\])(%lo)?:|[:\]](443|80|22)$/.test(it));
      assert.deepEqual(open, [], 'on loopback alone');
      const key = await guest.sh('cat /etc/mayfly/secrets/ui_key 2>/dev/null || true');
      if (key) assert.ok(!holds((await processes(guest)).arguments, key), 'its key is in nobody’s arguments');
      const page = await newPage(browser);
      await page.route('https://unpkg.com/xterm*/**', async (route) => route.fulfill({ body: await fromNpm(lab, route.request().url()) }));
      await page.goto((await lab.api('POST', `/vms/${id}/open`)).body.url);
      await page.waitForURL((url) => !url.pathname.startsWith('/_mayfly'));
      await page.locator(shows).first().waitFor({ timeout: 60_000 });
      await lab.shoot(page, `ui-${name}`);
      if (prompt) {
        anthropic.say(ANSWER);
        const before = anthropic.requests.length;
        await prompt(page);
        const isIt = (it) => it.prompt.includes(QUESTION) && it.key === 0;
        await until('the prompt is at the model', () => anthropic.requests.slice(before).some(isIt), { timeoutMs: 60_000 });
        await lab.shoot(page, `ui-${name}-prompt`);
      }
      await guest.sh(check);
      await page.context().close();
      assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
      await lab.gone(id);
    });
  }
}

/** A file of a package, which a UI's page gets from elsewhere on the web: the lab has no such place. */
async function fromNpm({ dir, hosts }, url) {
  const [, name, version, path] = /unpkg\.com\/([^@]+)@([^/]+)\/(.+)/.exec(url);
  const get = (at) => new Promise((done, failed) => {
    const { pathname } = new URL(at, `https://${hosts.npm}`);
    https.get({ host: OUTSIDE, servername: hosts.npm, headers: { host: hosts.npm }, path: pathname, rejectUnauthorized: false }, async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      done(Buffer.concat(parts));
    }).on('error', failed);
  });
  const { dist } = JSON.parse(await get(`/${name}`)).versions[version];
  const file = join(dir, `${name}-${version}.tgz`);
  writeFileSync(file, await get(dist.tarball));
  return execFileSync('tar', ['-xzOf', file, `package/${path}`], { maxBuffer: 1 << 24 });
}

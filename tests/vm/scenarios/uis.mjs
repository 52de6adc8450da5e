// The other web UIs: each is installed, comes up behind the door, and shows itself after one click.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from '../../run/prepare.mjs';
import { KEYS } from '../lab/lab.mjs';
import { newPage } from '../lab/look.mjs';
import { holds, processes } from '../lab/secrets.mjs';

export const minutes = 40;
export const withCodeServer = true;

/** What each shows, and the archive on GitHub that it is installed from: taken from .cache/vm-lab/github, if it is there. */
const UIS = [
  { name: 'ttyd', shows: '.xterm' },
  { name: 'code-server', shows: '.monaco-workbench' },
  { name: 'claude-code-web', shows: '.xterm, #terminal, .terminal-container', github: /claude-code-web/ },
  { name: 'cui', shows: 'textarea', github: /cui/ },
  // Its server and what it writes are what the idle check goes by (cloud-init/workspace/work.py).
  { name: 'openhands', shows: 'text=/OpenHands|Agent/i', check: 'test -d /home/dev/.openhands/agent-canvas/dev_conversations && grep -qx "$(pgrep -f agent-server | head -n 1)" /sys/fs/cgroup/system.slice/mayfly-ui.service/cgroup.procs' },
];
/** Names, separated by commas: those alone. */
const ONLY = process.env.MAYFLY_LAB_UIS?.split(',');

export default async function uis(lab) {
  const { assert, front, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const browser = await lab.browser();
  front.break('github.com', ({ url }) => {
    const [, repo, commit] = /^\/[^/]+\/([^/]+)\/archive\/([0-9a-f]{40})\.tar\.gz$/.exec(url) ?? [];
    const file = repo && join(cacheDir(), 'vm-lab/github', `${repo}-${commit}.tar.gz`);
    return file && existsSync(file) ? { status: 200, body: readFileSync(file) } : undefined;
  });
  const versions = readFileSync(new URL('../../../cloud-init/workspace/versions', import.meta.url), 'utf8');
  for (const { name, shows, github, check = 'true' } of UIS.filter((it) => !ONLY || ONLY.includes(it.name))) {
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
      const key = await guest.sh('cat /etc/mayfly/secrets/ui_key');
      assert.ok(!holds((await processes(guest)).arguments, key), 'its key is in nobody’s arguments');
      const page = await newPage(browser);
      await page.goto((await lab.api('POST', `/vms/${id}/open`)).body.url);
      await page.waitForURL((url) => !url.pathname.startsWith('/_mayfly'));
      await page.locator(shows).first().waitFor({ timeout: 60_000 });
      await lab.shoot(page, `ui-${name}`);
      await guest.sh(check);
      await page.context().close();
      assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
      await lab.gone(id);
    });
  }
}

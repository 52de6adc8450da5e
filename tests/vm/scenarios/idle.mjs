// What counts as work, in a real guest: each sign alone, and what looks like work and is none.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KEYS } from '../lab/lab.mjs';
import { newPage, shellPrompt, terminalText, type } from '../lab/look.mjs';

export const minutes = 30;

export default async function idle(lab) {
  const { assert, anthropic, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const key = join(lab.dir, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  // Nobody works; a long limit, so that it stays while each sign is looked at.
  const { id, guest } = await lab.create({
    repo_url: git.url('shop'), idle_minutes: 60, anthropic_api_key: KEYS.anthropic, ssh_public_key: readFileSync(`${key}.pub`, 'utf8').trim(),
  });
  const vm = await lab.ready(id);
  const browser = await lab.browser();
  const page = await newPage(browser);
  await page.goto((await lab.api('POST', `/vms/${id}/open`)).body.url);
  await page.waitForURL((url) => !url.pathname.startsWith('/_mayfly'));

  /** The verdict of one look, in minutes since each sign's last work. */
  const look = async () => {
    await guest.sh('python3 /opt/mayfly/idle.py tick');
    return JSON.parse(await guest.sh('cat /run/mayfly/public/idle.json')).verdict;
  };
  /** Two looks, so far apart that rates mean something; cron's own may come between. */
  const over = async (ms) => {
    await look();
    await new Promise((go) => setTimeout(go, ms));
    return look();
  };
  /** Ages every sign, so that what is fresh afterwards is fresh because of what was done; counters are read up to now first. */
  const forget = (minutes = 20) => guest.sh(`python3 /opt/mayfly/idle.py tick; python3 - <<'PY'
import json
path = "/run/mayfly/idle.json"
state = json.load(open(path))
state["seen"] = {name: when - ${minutes * 60} for name, when in state["seen"].items()}
json.dump(state, open(path, "w"))
PY
find /workspaces /home/dev/.claude -exec touch -h -d "${minutes} minutes ago" {} + ; touch -d "${minutes} minutes ago" /run/mayfly/door/active /run/mayfly/agent/share/spool/* 2>/dev/null; touch -a -d "${minutes} minutes ago" /dev/pts/[0-9]* || :`);
  const fresh = (verdict) => Object.entries(verdict).filter(([, age]) => age !== null && age < 5).map(([name]) => name);

  // The host key is the one that the API tells; passwords are not asked for.
  const known = join(lab.dir, 'known_hosts');
  writeFileSync(known, execFileSync('ssh-keyscan', ['-t', 'ed25519', guest.address], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const told = execFileSync('ssh-keygen', ['-l', '-f', known], { encoding: 'utf8' }).split(' ')[1];
  assert.equal(told, vm.ssh.host_key);
  const ssh = spawn('ssh', ['-tt', '-i', key, '-o', `UserKnownHostsFile=${known}`, '-o', 'ServerAliveInterval=15', `root@${guest.address}`], { stdio: ['pipe', 'pipe', 2] });
  let shown = '';
  ssh.stdout.on('data', (chunk) => (shown += chunk));
  await until('an SSH session', () => /[#$] $/.test(shown));

  await lab.step('SSH takes keys, and no passwords', async () => {
    assert.match(await guest.sh('sshd -T'), /^passwordauthentication no$/m);
  });
  await lab.step('an open but silent tab, the idling UI, a forgotten tail -f and a silent SSH session are none', async () => {
    await page.goto(vm.urls.terminal);
    await shellPrompt(page, guest);
    await type(page, 'touch /tmp/x; tail -f /tmp/x');
    await page.goto(vm.urls.web_ui);
    await page.waitForLoadState('networkidle').catch(() => {});
    await new Promise((go) => setTimeout(go, 5000));
    await forget();
    assert.deepEqual(fresh(await over(130_000)), []);
  });
  await lab.step('typing is', async () => {
    await page.goto(vm.urls.terminal);
    await until('the terminal', () => terminalText(page));
    await forget();
    await page.locator('.xterm-helper-textarea').focus();
    await page.keyboard.press('Control+c');
    await until('typing is seen', async () => fresh(await look()).includes('connection'), { timeoutMs: 30_000 });
  });
  await lab.step('typing into SSH is', async () => {
    await forget();
    ssh.stdin.write('true\n');
    await until('it is seen', async () => fresh(await look()).includes('ssh'), { timeoutMs: 30_000 });
    ssh.kill();
  });
  await lab.step('a file that is written is', async () => {
    await forget();
    await guest.inside('echo x >new.txt');
    assert.ok(fresh(await look()).includes('files'));
  });
  await lab.step('what tools generate is not', async () => {
    await guest.inside('mkdir -p node_modules/a');
    await forget();
    await guest.inside('echo x >node_modules/a/b; echo y >.git/z');
    assert.ok(!fresh(await look()).includes('files'));
  });
  for (const [what, name] of [['a build is', 'make'], ['whatever else computes hard is', 'whatever']]) {
    await lab.step(what, async () => {
      await forget();
      await guest.sh(`docker exec -d $(cat /var/lib/mayfly/container/id) sh -c "cp /bin/bash /tmp/${name}; timeout 60 /tmp/${name} -c 'while :; do :; done'"`);
      assert.ok(fresh(await over(8000)).includes('build'));
      await guest.sh(`pkill -x ${name}`);
    });
  }
  await lab.step('an agent that thinks for long without touching a file is', async () => {
    anthropic.slow(600_000);
    await guest.sh('docker exec -d -u $(cat /var/lib/mayfly/container/user) -w /workspaces/shop $(cat /var/lib/mayfly/container/id) /bin/sh /mnt/mayfly/enter claude -p "think hard"');
    await until('it asks', () => anthropic.requests.some((it) => it.prompt.includes('think hard')), { timeoutMs: 60_000 });
    await forget();
    // 40 minutes into its turn, by the only thing that tells how long it has been at it.
    await guest.sh('touch -d "40 minutes ago" /run/mayfly/agent/share/spool/*');
    assert.ok(fresh(await over(8000)).includes('agent'));
    await guest.sh('pkill -x claude');
    anthropic.slow(0);
    await forget();
    assert.ok(!fresh(await over(8000)).includes('agent'), 'and is none once it is dead');
  });
  await lab.step('broken parts neither end it nor keep it', async () => {
    await forget();
    await guest.sh('systemctl stop docker.socket docker; mv /usr/bin/ss /usr/bin/ss.gone 2>/dev/null || mv $(command -v ss) $(command -v ss).gone');
    const verdict = await look();
    assert.deepEqual(fresh(verdict).filter((it) => it !== 'connection'), []);
    assert.ok(guest.isUp());
    await guest.sh('for f in /usr/bin/ss.gone /usr/sbin/ss.gone /bin/ss.gone; do [ ! -e $f ] || { mv $f ${f%.gone}; break; }; done; systemctl start docker');
  });
  await lab.step('a clock that jumps makes nobody idle', async () => {
    const decided = await guest.sh(`cd /opt/mayfly && python3 - <<'PY'
import json, time
import idle, signals, common
real = time.time
time.time = lambda: real() + 86400 * 30
state = common.load(idle.STATE_FILE)
wall, boot = time.time(), signals.boot_seconds()
unknown = idle.look(state, wall, boot)
print(idle.decide(state, unknown, boot, idle.clock(state, wall, boot), 60, state.get("expires", 0))[0])
PY`);
    assert.equal(decided, 'live');
  });
  await lab.step('before the end the terminal says so', async () => {
    await page.goto(vm.urls.terminal);
    await until('the terminal', () => terminalText(page));
    await forget(56);
    await guest.sh('python3 /opt/mayfly/idle.py tick');
    await until('the warning', async () => (await terminalText(page)).includes('This workspace ends in about'), { timeoutMs: 15_000 });
    assert.match(JSON.parse(await guest.sh('cat /run/mayfly/public/idle.json')).says, /^in [1-4] min/);
    assert.ok(guest.isUp());
  });
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

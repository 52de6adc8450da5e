// The agent's key stays with the Worker: Claude Code works in the terminal, in the UI and after its capability was renewed, what it
// uses is counted, and the key is nowhere on the VM.
import { KEYS } from '../lab/lab.mjs';
import { newPage, shellPrompt, terminalText, type } from '../lab/look.mjs';
import { filesWith, holds, logs, processes } from '../lab/secrets.mjs';
import { prompt } from './main.mjs';

export const minutes = 10;
/** Where the lab's scripted API listens, seen from the Worker (lab.mjs). */
const UPSTREAM = 'http://127.0.0.1:9002';
export const options = {
  bucket: true,
  vars: {
    BACKUP_KEY: 'a-backup-key-of-the-lab-0123456789abcdef', AGENT_PROXY: 'on', AGENT_UPSTREAM_URL: UPSTREAM, ANTHROPIC_API_KEY: KEYS.anthropic,
    AGENT_BUDGET_VM_TOKENS: '100000',
  },
};
const TOKEN = '/run/mayfly/agent/share/agent-token';

export default async function proxy(lab) {
  const { anthropic, assert, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'cloudcli' });
  const vm = await lab.step('boot to ready', () => lab.ready(id));
  assert.equal(vm.boot.reason, null, JSON.stringify(vm.boot));
  const asked = (words) => anthropic.requests.filter((it) => it.path === '/v1/messages' && it.prompt.includes(words));
  const withKey = (words) => assert.ok(asked(words).length > 0 && asked(words).every((it) => it.key === 0), 'with the Worker’s key');

  const browser = await lab.browser();
  const page = await newPage(browser);
  await lab.step('a prompt typed into the UI is answered', async () => {
    anthropic.say('The meaning is in the lab.');
    await page.goto((await lab.api('POST', `/vms/${id}/open`)).body.url);
    await page.waitForURL((url) => !url.pathname.startsWith('/_mayfly'));
    await prompt(page, 'what is the meaning?');
    withKey('what is the meaning?');
  });
  await lab.step('an interactive session in the terminal answers without a question', async () => {
    anthropic.say('The lab greets you.');
    await page.goto(vm.urls.terminal);
    await shellPrompt(page, guest);
    await type(page, 'claude');
    const shows = (what) => until(`the terminal shows ${what}`, async () => what.test(await terminalText(page)), { timeoutMs: 60_000 });
    await shows(/auto mode|for shortcuts/);
    await type(page, 'hello from the lab');
    await shows(/The lab greets you/);
    withKey('hello from the lab');
  });
  await lab.step('it uses tools in the container', async () => {
    anthropic.plan([{ tool: 'Bash', input: { command: 'echo made by the agent >made', description: 'make a file' } }, { text: 'The file is made.' }]);
    assert.match(await guest.inside('claude -p "make a file" --allowedTools Bash </dev/null', { timeoutMs: 120_000 }), /The file is made\./);
    assert.equal(await guest.inside('cat made'), 'made by the agent');
  });
  await lab.step('its capability is renewed, and the new one works', async () => {
    assert.equal(await guest.sh('systemctl is-active mayfly-agent.timer'), 'active');
    const before = await guest.sh(`cat ${TOKEN}`);
    // The end of a capability counts in seconds: one made in the same second is the same.
    await until('another capability', async () => {
      await guest.sh('systemctl start mayfly-agent.service');
      return (await guest.sh(`cat ${TOKEN}`)) !== before;
    });
    anthropic.say('Renewed.');
    assert.match(await guest.inside('claude -p "are you there" </dev/null', { timeoutMs: 120_000 }), /Renewed/);
    withKey('are you there');
  });
  await lab.step('what it used is counted', () => until('tokens', async () => (await lab.api('GET', `/vms/${id}`)).body.agent?.tokens > 400));
  await lab.step('the VM asked the Worker alone', () => {
    const direct = front.requests.filter((it) => it.host === 'api.anthropic.com' && it.path.startsWith('/v1/messages'));
    assert.deepEqual(direct, []);
    assert.ok(front.requests.some((it) => it.host === 'mayfly.test' && it.path.startsWith('/vm/anthropic/v1/messages')));
  });
  await lab.step('the key is nowhere on the VM', async () => {
    const seen = { ...(await processes(guest)), logs: await logs(guest), container: await guest.inside('env; cat /mnt/mayfly/* 2>/dev/null') };
    for (const [where, text] of Object.entries(seen)) assert.ok(!holds(text, KEYS.anthropic), where);
    assert.ok(seen.container.includes('/vm/anthropic'), 'there is something to look at');
    assert.deepEqual(await filesWith(guest, KEYS.anthropic), []);
    assert.ok(!holds(guest.userData, KEYS.anthropic));
  });
  const old = await guest.sh(`cat ${TOKEN}`);
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
  await lab.step('nothing of it renews itself when the VM is gone', async () => {
    const answer = await lab.cloud.worker.fetch('/vm/token', { method: 'POST', headers: { authorization: `Bearer ${old}`, 'cf-connecting-ip': guest.address }, body: '{"scope":"agent"}' });
    assert.ok([401, 403].includes(answer.status), String(answer.status));
  });
}

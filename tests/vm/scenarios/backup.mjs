// The work survives its VM: what was neither committed nor pushed, the conversation and a login made by hand are there on the next
// VM of the same repository; another owner has none of it.
import { createHash } from 'node:crypto';
import { KEYS } from '../lab/lab.mjs';

export const minutes = 22;
const ANNS = 'a-token-of-anns-for-the-lab-0123456789';
export const options = {
  bucket: true,
  vars: { BACKUP_KEY: 'a-backup-key-of-the-lab-0123456789abcdef', API_TOKENS: JSON.stringify({ ann: createHash('sha256').update(ANNS).digest('hex') }) },
};
/** As `claude` writes it after a login in the terminal. */
const LOGIN = { claudeAiOauth: { accessToken: KEYS.oauth, refreshToken: 'a-refresh-token-of-the-lab', expiresAt: Date.now() + 86_400_000, scopes: ['user:inference', 'user:profile'], subscriptionType: 'max' } };

export default async function backup(lab) {
  const { anthropic, assert, cloud, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n', '.gitignore': 'node_modules\n' } });
  const body = { repo_url: git.url('shop'), web_ui: 'ttyd' };
  const claude = (guest, words, ...args) => guest.inside(`claude ${args.join(' ')} -p "${words}" </dev/null`, { timeoutMs: 120_000 });
  const tree = (guest) => guest.inside('git status --porcelain && git stash list && find . -path ./.git -prune -o -path ./node_modules -prune -o -printf "%P %m %u %l\\n" | sort && sha256sum notes.txt run.sh', { timeoutMs: 60_000 });

  const first = await lab.create(body);
  await lab.step('boot to ready', () => lab.ready(first.id));
  await lab.step('its log was kept while it booted', async () => {
    const log = await lab.api('GET', `/vms/${first.id}/log`);
    assert.equal(log.status, 200, JSON.stringify(log.body));
    assert.match(log.body.tail, /phase clone/);
  });
  let before;
  await lab.step('work: files, a login by hand, a conversation', async () => {
    await first.guest.inside('echo "half a thought" >notes.txt; printf "#!/bin/sh\\necho it runs\\n" >run.sh; chmod 751 run.sh; ln -s notes.txt link; mkdir -p node_modules/x src/new; echo big >node_modules/x/y; echo new >src/new/file; echo changed >>README.md');
    await first.guest.inside(`umask 077; echo '${JSON.stringify(LOGIN)}' >$CLAUDE_CONFIG_DIR/.credentials.json`);
    anthropic.say('I shall remember the heron.');
    assert.match(await claude(first.guest, 'remember the heron'), /I shall remember the heron/);
    assert.ok(anthropic.requests.some((it) => it.prompt.includes('remember the heron') && it.key === 1), 'with the login');
    before = await tree(first.guest);
    assert.match(before, /notes.txt/);
  });
  await lab.step('the timer makes a backup, five minutes after it began', async () => {
    const kept = async () => (await lab.api('GET', '/workspaces')).body.workspaces;
    await until('a snapshot', async () => (await kept()).some((it) => it.snapshots.length > 0), { timeoutMs: 420_000, everyMs: 5000 });
    await until('the timer waits for the next', async () => /=\d/.test(await first.guest.sh('systemctl show -p NextElapseUSecMonotonic mayfly-backup.timer')));
    const workspaces = await kept();
    assert.deepEqual(workspaces.map((it) => [it.repository, it.snapshots.length]), [['git.test/shop', 1]]);
    assert.ok(workspaces[0].size_bytes > 1000);
  });
  await lab.step('the VM is gone without a word', async () => {
    await first.guest.kill();
    assert.equal((await lab.api('DELETE', `/vms/${first.id}`)).status, 200);
    await lab.gone(first.id);
  });
  const next = await lab.create(body);
  await lab.step('the next one begins where it ended', async () => {
    const vm = await lab.ready(next.id);
    assert.equal(vm.boot.reason, null, JSON.stringify(vm.boot));
    assert.equal(await tree(next.guest), before);
    assert.equal(await next.guest.inside('./run.sh'), 'it runs');
    assert.equal((await next.guest.run('test -e /workspaces/shop/node_modules')).status, 1, 'what is built is built anew');
  });
  await lab.step('claude --continue goes on, with the login that was made by hand', async () => {
    anthropic.say('It was the heron.');
    assert.match(await claude(next.guest, 'what was it', '--continue'), /It was the heron/);
    const asked = anthropic.requests.filter((it) => it.prompt.includes('what was it'));
    assert.ok(asked.length > 0 && asked.every((it) => it.key === 1 && it.said.includes('remember the heron')), 'it has the conversation');
  });
  await lab.step('another owner of the same repository has none of it', async () => {
    const answer = await cloud.worker.api('POST', '/vms', body, { token: ANNS });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    const { id } = answer.body.vm;
    const guest = await until('the guest boots', () => cloud.guestOf(id));
    await until('it is ready', async () => (await cloud.worker.api('GET', `/vms/${id}`, undefined, { token: ANNS })).body.vm?.phase === 'ready', { timeoutMs: 420_000, everyMs: 500 });
    assert.equal(await guest.inside('git status --porcelain'), '');
    assert.deepEqual((await cloud.worker.api('GET', '/workspaces', undefined, { token: ANNS })).body.workspaces, []);
    assert.equal((await cloud.worker.api('DELETE', `/vms/${id}`, undefined, { token: ANNS })).status, 200);
    await lab.gone(id);
  });
  assert.equal((await lab.api('DELETE', `/vms/${next.id}`)).status, 200);
  await lab.gone(next.id);
}

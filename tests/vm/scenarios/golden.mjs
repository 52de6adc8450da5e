// A golden snapshot makes itself and is nobody's; a VM starts from it sooner than from nothing. A workspace's own snapshot keeps
// its files and not its secrets, and the workspace goes on.
import { spawnSync } from 'node:child_process';
import { KEYS } from '../lab/lab.mjs';

export const minutes = 20;
const GIT = 'lab-git-token-0123456789abcdef';
export const options = { vars: { ANTHROPIC_API_KEY: KEYS.anthropic, GIT_TOKEN: GIT } };

export default async function golden(lab) {
  const { assert, cloud, git, until } = lab;
  git.addRepo('shop', { token: GIT, files: { 'README.md': '# Shop\n' } });
  /** Files of a stored disk, below the top of its own layer, that hold a text. */
  const holding = (disk, text) => spawnSync('grep', ['-rlsF', '--', text, disk.up, disk.docker], { encoding: 'utf8', maxBuffer: 1 << 28 }).stdout.split('\n').filter(Boolean);
  const snapshot = (wanted) => until('the snapshot is ready', async () => {
    // Every ten minutes elsewhere.
    await cloud.worker.cron();
    if (cloud.failure()) throw cloud.failure();
    return (await lab.api('GET', '/snapshots')).body.snapshots.find((it) => it.is_ready && wanted(it));
  }, { timeoutMs: 480_000, everyMs: 1000 });

  const first = await lab.step('a VM is made for it, boots, is stored and gone, all by itself', async () => {
    const asked = await lab.api('POST', '/snapshots/golden', { profile: 'coding' });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    const guest = await until('the guest boots', () => cloud.guestOf(asked.body.vm.id));
    const made = await snapshot((it) => it.is_golden);
    assert.deepEqual([made.is_clean, made.repo_url, made.profile], [true, null, 'coding']);
    await lab.gone(asked.body.vm.id);
    return { made, guest };
  });
  await lab.step('no secret of anybody is on the disk, and no workspace', () => {
    const { disk } = cloud.diskOf(first.made.id);
    for (const secret of [KEYS.anthropic, GIT, 'test-cloud-token']) assert.deepEqual(holding(disk, secret), [], secret.slice(0, 8));
    const has = (path) => spawnSync('test', ['-e', `${disk.up}${path}`]).status === 0;
    assert.deepEqual(['/etc/mayfly/secrets/password', '/etc/mayfly/secrets/anthropic_api_key', '/workspaces'].filter(has), []);
    assert.ok(has('/usr/bin/dockerd') || has('/opt/mayfly'), 'it is the disk of that VM');
  });

  const { id, guest, password } = await lab.create({ repo_url: git.url('shop'), from: 'golden', idle_minutes: 30 });
  await lab.step('a VM that starts from it is a new one, with a workspace, secrets and keys of its own', async () => {
    const vm = await lab.ready(id);
    const total = vm.boot.phases.reduce((sum, it) => sum + it.seconds, 0);
    console.log(`  (from golden to ready: ${vm.boot.phases.map((it) => `${it.phase} ${it.seconds}`).join(', ')}: ${total} s)`);
    assert.equal(vm.boot.reason, null);
    assert.equal(await guest.sh('cat /workspaces/shop/README.md'), '# Shop');
    assert.equal(await guest.inside('echo $ANTHROPIC_API_KEY'), KEYS.anthropic);
    assert.equal(await guest.sh('cat /etc/mayfly/secrets/password'), password);
    assert.notEqual(await guest.sh('cat /etc/machine-id'), first.guest.read('etc/machine-id')?.trim());
    assert.deepEqual(await guest.sh('ls /workspaces'), 'shop');
    await guest.inside('echo kept >kept.txt');
  });
  const kept = await lab.step('its own snapshot has its files and none of its secrets, and the workspace goes on', async () => {
    const asked = await lab.api('POST', `/vms/${id}/snapshots`, { description: 'with the file' });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    const made = await snapshot((it) => it.description === 'with the file');
    assert.equal(made.is_clean, true);
    const { disk } = cloud.diskOf(made.id);
    for (const secret of [KEYS.anthropic, GIT, password]) assert.deepEqual(holding(disk, secret), [], secret.slice(0, 8));
    await until('the secrets are back', async () => (await guest.run('cat /etc/mayfly/secrets/password')).out.trim() === password, { timeoutMs: 120_000 });
    assert.equal(await guest.inside('echo $ANTHROPIC_API_KEY; cat kept.txt'), `${KEYS.anthropic}\nkept`);
    return made;
  });
  await lab.step('a VM that starts from that has the files', async () => {
    const copy = await lab.create({ repo_url: git.url('shop'), snapshot_id: kept.id });
    await lab.ready(copy.id);
    assert.equal(await copy.guest.sh('cat /workspaces/shop/kept.txt'), 'kept');
    assert.notEqual(await copy.guest.sh('cat /etc/mayfly/secrets/password'), password);
    assert.equal((await lab.api('DELETE', `/vms/${copy.id}`)).status, 200);
    await lab.gone(copy.id);
  });
  await lab.step('everything goes', async () => {
    const answer = await lab.api('DELETE', '/vms?confirm=all');
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await lab.gone(id);
    await until('the account is empty', async () => {
      const { servers, images } = await cloud.fake.state();
      return servers.length + images.length === 0;
    }, { timeoutMs: 30_000 });
  });
}

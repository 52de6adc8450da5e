// A private repository by ssh, with a deploy key: cloned, pushed to, rescued with it, and the key goes to no other host. A public
// one by ssh without any credential; and a key that opens nothing.
import { filesWith, processes } from '../lab/secrets.mjs';
import { rescued } from '../lab/story.mjs';

export const minutes = 15;

export default async function ssh(lab) {
  const { assert, git, gitSsh } = lab;
  git.addRepo('part', { token: 'of-nobody-here', files: { 'part.txt': 'a private part\n' } });
  git.addRepo('shop', { token: 'of-nobody-here', files: { 'README.md': '# Shop\n' }, lfs: { 'big.bin': 'the large file itself\n' }, submodules: { part: '../part' } });
  git.addRepo('open', { files: { 'README.md': '# Open\n' } });
  const pair = gitSsh.keyPair();
  gitSsh.allow(pair.public, ['shop', 'part']);
  // Of its third line, which is not the public half's.
  const inside = pair.private.trim().split('\n').slice(1, -1).join('').slice(145, 205);

  // As a form's field of one line sends it.
  const { id, guest } = await lab.create({ repo_url: 'git@git.test:shop.git', web_ui: 'ttyd', idle_minutes: 1, git_token: pair.private.replaceAll('\n', '') });
  await lab.step('boot to ready', () => lab.ready(id));
  await lab.step('files, submodules and large files are there', async () => {
    const at = '/workspaces/shop';
    assert.equal(await guest.sh(`cat ${at}/big.bin`), 'the large file itself');
    assert.equal(await guest.sh(`cat ${at}/part/part.txt`), 'a private part');
    assert.equal(await guest.sh(`git -c safe.directory='*' -C ${at} remote get-url origin`), 'git@git.test:shop.git');
  });
  await lab.step('the key is where root and git look for it, and nowhere else', async () => {
    assert.deepEqual(await filesWith(guest, inside), ['/etc/mayfly/secrets/git_token']);
    const seen = await processes(guest);
    assert.ok(!seen.arguments.includes(inside) && !seen.environments.includes(inside));
    assert.equal(await guest.sh('stat -c "%U %a" /run/mayfly/git/key'), 'nobody 640');
  });
  await lab.step('another host is not offered it', async () => {
    const before = gitSsh.requests.length;
    assert.notEqual((await guest.run('runuser -u dev -- ssh -F /run/mayfly/git/ssh_config git@elsewhere.test git-upload-pack shop')).status, 0);
    await guest.inside('ssh -o BatchMode=yes -F /mnt/mayfly/git/ssh_config git@elsewhere.test git-upload-pack shop || true');
    assert.deepEqual(gitSsh.requests.slice(before).map((it) => it.offered), [[], []]);
    const ours = [gitSsh.fingerprint(pair.private)];
    for (const it of gitSsh.requests.slice(0, before)) assert.deepEqual([...new Set(it.offered)], ours);
  });
  await lab.step('git in the container fetches and pushes with it, as any user', async () => {
    await guest.inside('git config --global user.email a@b.test && git config --global user.name A && echo more >>README.md && git commit -qam more && git push -q origin main');
    assert.match(git.show('shop', 'main', 'README.md'), /more/);
    const container = await guest.sh('cat /var/lib/mayfly/container/id');
    await guest.sh(`docker exec -u 0 -w /workspaces/shop ${container} /mnt/mayfly/enter git -c safe.directory='*' fetch -q origin`);
  });
  await lab.step('unpushed work is on a branch before the VM goes', () => rescued(lab, { id, guest }, 'shop'));

  await lab.step('a public repository that is named by ssh needs no credential', async () => {
    const open = await lab.create({ repo_url: 'git@git.test:open', web_ui: 'ttyd' });
    await lab.ready(open.id);
    assert.equal(await open.guest.sh('cat /workspaces/open/README.md'), '# Open');
    await open.guest.inside('git pull -q && git remote get-url --push origin | grep -qx git@git.test:open');
    assert.equal((await lab.api('DELETE', `/vms/${open.id}`)).status, 200);
    await lab.gone(open.id);
  });
  await lab.step('a key that may not read it is the reason of a failed boot', async () => {
    const other = await lab.create({ repo_url: 'ssh://git@git.test/shop', web_ui: 'ttyd', git_token: gitSsh.keyPair().private });
    const { boot } = await lab.phase(other.id, 'failed');
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['clone', 'auth_failed']);
    assert.equal((await lab.api('DELETE', `/vms/${other.id}`)).status, 200);
    await lab.gone(other.id);
  });
}

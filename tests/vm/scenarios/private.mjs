// A private repository with a submodule and LFS: cloned with a token that stays where it belongs; unpushed work is saved.
import { rescued } from '../lab/story.mjs';

export const minutes = 12;
const TOKEN = 'lab-git-token-0123456789abcdef';

export default async function privateRepo(lab) {
  const { assert, git, until } = lab;
  git.addRepo('part', { token: TOKEN, files: { 'part.txt': 'a private part\n' } });
  git.addRepo('far', { files: { 'far.txt': 'from another host\n' } });
  git.addRepo('shop', {
    token: TOKEN,
    files: { 'README.md': '# Shop\n' },
    lfs: { 'big.bin': 'the large file itself\n' },
    submodules: { part: '../part', far: 'https://elsewhere.test/far' },
  });

  const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1, git_token: TOKEN });
  await lab.step('boot to ready', () => lab.ready(id));

  await lab.step('files, submodules and large files are there', async () => {
    const at = '/workspaces/shop';
    assert.equal(await guest.sh(`cat ${at}/big.bin`), 'the large file itself');
    assert.equal(await guest.sh(`cat ${at}/part/part.txt`), 'a private part');
    assert.equal(await guest.sh(`cat ${at}/far/far.txt`), 'from another host');
    assert.equal(await guest.sh(`stat -c %U ${at}/README.md`), 'dev');
  });
  await lab.step('the token is in no configuration and went to no other host', async () => {
    assert.equal((await guest.run(`grep -r ${TOKEN} /workspaces /home/dev /root /etc/gitconfig /tmp`)).status, 1);
    const elsewhere = git.requests.filter((it) => it.host === 'elsewhere.test');
    assert.ok(elsewhere.length > 0);
    assert.deepEqual(elsewhere.filter((it) => it.token !== null), []);
  });
  await lab.step('git in the container pushes with it', async () => {
    await guest.inside('git config --global user.email a@b.test && git config --global user.name A && echo more >>README.md && git commit -qam more && git push -q origin main');
    assert.match(git.show('shop', 'main', 'README.md'), /more/);
  });
  await lab.step('unpushed work is on a branch before the VM goes', () => rescued(lab, { id, guest }, 'shop'));

  await lab.step('without a token it stays until its expiry, and says so', async () => {
    const open = await lab.create({ repo_url: git.url('far'), web_ui: 'ttyd', idle_minutes: 1, max_hours: 1 });
    await lab.ready(open.id);
    await open.guest.inside('echo unsaved >notes.txt');
    await until('it says why it stays', async () =>
      /unpushed work and no Git credential/.test(await open.guest.sh('cat /run/mayfly/public/idle.json')),
    { timeoutMs: 300_000, everyMs: 2000 });
    assert.ok(open.guest.isUp());
    assert.equal((await lab.api('DELETE', `/vms/${open.id}`)).status, 200);
    await lab.gone(open.id);
  });
}

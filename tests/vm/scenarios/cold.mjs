// A boot from the provider's plain image: everything is installed from the distribution and the registries.
export const image = 'plain';
export const minutes = 15;

export default async function cold(lab) {
  const { assert, git } = lab;
  git.addRepo('plain', { files: { 'README.md': 'nothing else\n' } });
  const { id, guest } = await lab.step('create', () => lab.create({ repo_url: git.url('plain'), web_ui: 'ttyd' }));
  const vm = await lab.step('boot to ready', () => lab.ready(id, { timeoutMs: 800_000 }));
  process.stdout.write(`    ${vm.boot.phases.map((it) => `${it.phase} ${it.seconds} s`).join(', ')}\n`);
  assert.equal(vm.boot.reason, null, 'nothing had to be given up');
  await lab.step('what it installed is there', () => {
    guest.sh('docker info >/dev/null && git lfs version && gh --version && nft list table inet mayfly >/dev/null');
    assert.equal(guest.sh('/opt/mayfly/workspace/in-container sh -c "claude --version" </dev/null').includes('Claude Code'), true);
  });
  await lab.step('delete through the API', async () => {
    const answer = await lab.api('DELETE', `/vms/${id}`);
    assert.equal(answer.status, 200);
    await lab.gone(id);
  });
}

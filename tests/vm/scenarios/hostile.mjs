// A hostile repository where a provider's credential is on the VM: what it may reach, and what it may not. Without one: hostile-bare.
import { ATTACK, fromInside, hostile } from '../lab/attack.mjs';

export const minutes = 15;
const CREDENTIAL = 'test-cloud-token';
export const options = { vars: { HETZNER_VM_TOKEN: CREDENTIAL } };

/** Names that would run something if anybody evaluated them. */
const NAME = 'x$(touch -- pwned)`id`;touch pwned';

export default async function withCredential(lab) {
  const { assert, cloud, front, git } = lab;
  git.addRepo('outside', hostile({ initializeCommand: ATTACK }));
  git.addRepo('mounts', hostile({ mounts: ['type=bind,source=/etc/mayfly,target=/loot'], runArgs: ['--privileged'] }));

  await lab.step('names are refused or are data', async () => {
    const answer = await lab.api('POST', '/vms', { repo_url: `https://git.test/${NAME}`, web_ui: 'ttyd' });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.errors[0].field, 'repo_url');
    const evil = await lab.api('POST', '/vms', { repo_url: git.url('inside'), branch: '--upload-pack=touch pwned', web_ui: 'ttyd' });
    assert.equal(evil.status, 400);
    assert.deepEqual((await cloud.fake.state()).servers, []);
  });

  await fromInside(lab, [CREDENTIAL]);

  for (const name of ['outside', 'mounts']) {
    await lab.step(`with a credential on the VM, what reaches for the host falls back (${name})`, async () => {
      const { id, guest } = await lab.create({ repo_url: git.url(name), web_ui: 'ttyd' });
      const vm = await lab.ready(id);
      assert.deepEqual([vm.boot.reason?.phase, vm.boot.reason?.code], ['devcontainer', 'fallback']);
      assert.equal((await guest.run('cat /tmp/loot')).status, 1, 'nothing of it ran on the host');
      assert.equal(await guest.sh('docker inspect -f "{{.HostConfig.Privileged}}" $(cat /var/lib/mayfly/container/id)'), 'false');
      assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
    });
  }
  await lab.step('unless the request trusts it', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('outside'), web_ui: 'ttyd', trust_repo: true });
    const vm = await lab.ready(id);
    assert.equal(vm.boot.reason, null);
    assert.equal((await guest.run('ls /tmp/loot')).status, 0, 'its command ran on the host, as it asked for');
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });
  assert.deepEqual(front.requests.filter((it) => it.method === 'DELETE' && it.path === '/vm' && it.status === 200), [], 'and none was deleted early');
}

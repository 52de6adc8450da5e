// A hostile repository where no provider's credential is on the VM: its commands in the container get no more than elsewhere. What it
// does to the VM itself it may do, for that VM is the boundary; what others have is out of its reach.
import { ATTACK, fromInside, hostile } from '../lab/attack.mjs';

export const minutes = 10;

/** Asks for the secrets once more, as whoever it runs as. */
const EXCHANGE = `cd /opt/mayfly && python3 -c 'import common; print(common.worker("POST", "/vm/boot", {"sealed": ""})[:2])' >>/tmp/loot 2>&1`;

export default async function withoutCredential(lab) {
  const { assert, front, git, metadata } = lab;
  git.addRepo('outside', hostile({ initializeCommand: `${ATTACK.replace('-X DELETE', '-X GET')}; ${EXCHANGE}; true` }));
  await fromInside(lab, []);
  assert.deepEqual(front.requests.filter((it) => it.method === 'DELETE' && it.path === '/vm' && it.status === 200), [], 'none was deleted early');

  await lab.step('its command on the VM reaches neither the metadata nor what is exchanged once', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('outside'), web_ui: 'ttyd' });
    const vm = await lab.ready(id);
    assert.equal(vm.boot.reason, null, 'nothing falls back: there is nothing on the VM that is worth more than it');
    const loot = await guest.sh('cat /tmp/loot');
    assert.ok(!loot.includes('#cloud-config') && !loot.includes('(200,'), loot);
    assert.deepEqual(metadata.requests.filter((it) => it.from === guest.address), []);
    assert.ok(guest.isUp());
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });
}

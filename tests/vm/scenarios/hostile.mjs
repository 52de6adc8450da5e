// A hostile repository, without and with a provider's credential on the VM: what it may reach, and what it may not.
export const minutes = 15;
const CREDENTIAL = 'test-cloud-token';
export const options = { vars: { HETZNER_VM_TOKEN: CREDENTIAL } };

/** Names that would run something if anybody evaluated them. */
const NAME = 'x$(touch -- pwned)`id`;touch pwned';

/** Runs on the host, as far as the repository decides: tries what it must not get. */
const ATTACK = [
  'for f in /etc/mayfly/vm.json /etc/mayfly/secrets/provider_credential /etc/mayfly/secrets/password; do cat $f >>/tmp/loot 2>/dev/null; done',
  'curl -s -m 3 http://169.254.169.254/hetzner/v1/userdata >>/tmp/loot 2>/dev/null',
  'curl -s -m 3 http://10.99.0.1/ >>/tmp/loot 2>/dev/null',
  'curl -sk -m 3 -X POST -H "content-type: application/json" -d "{}" https://mayfly.test/vm/boot >>/tmp/loot 2>/dev/null',
  'curl -sk -m 3 -X DELETE https://mayfly.test/vm >>/tmp/loot 2>/dev/null',
  'true',
].join('; ');

export default async function hostile(lab) {
  const { assert, cloud, front, git, metadata } = lab;
  const own = (config) => ({
    files: {
      'README.md': '# hello\n',
      '.devcontainer.json': JSON.stringify({ image: 'mcr.microsoft.com/devcontainers/base:ubuntu', ...config }),
    },
  });
  git.addRepo('inside', own({ postCreateCommand: ATTACK }));
  git.addRepo('outside', own({ initializeCommand: ATTACK }));
  git.addRepo('mounts', own({ mounts: ['type=bind,source=/etc/mayfly,target=/loot'], runArgs: ['--privileged'] }));

  await lab.step('names are refused or are data', async () => {
    const answer = await lab.api('POST', '/vms', { repo_url: `https://git.test/${NAME}`, web_ui: 'ttyd' });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.errors[0].field, 'repo_url');
    const evil = await lab.api('POST', '/vms', { repo_url: git.url('inside'), branch: '--upload-pack=touch pwned', web_ui: 'ttyd' });
    assert.equal(evil.status, 400);
    assert.deepEqual((await cloud.fake.state()).servers, []);
  });

  await lab.step('its commands in the container get nothing', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('inside'), web_ui: 'ttyd' });
    const vm = await lab.ready(id);
    assert.equal(vm.boot.reason, null);
    const loot = await guest.inside('cat /tmp/loot');
    assert.ok(!loot.includes(CREDENTIAL) && !loot.includes('capability') && !loot.includes('#cloud-config'), loot);
    assert.match(loot, /unauthorized/, 'the Worker was reached, and refused');
    assert.deepEqual(metadata.requests.filter((it) => it.from === guest.address), [], 'the metadata service was not');
    const everything = await guest.inside('env; cat /proc/*/environ /mnt/mayfly/env.sh /mnt/mayfly/git/* 2>/dev/null; find / -xdev -name "vm.json" 2>/dev/null');
    const capability = JSON.parse(await guest.sh('cat /etc/mayfly/vm.json')).capability;
    for (const secret of [CREDENTIAL, capability]) assert.ok(!everything.includes(secret));
    // Nor does the VM's unprivileged user get there, for whoever ends up as it.
    const asDev = (command) => guest.run(`setpriv --reuid dev --regid dev --init-groups ${command}`);
    assert.notEqual((await asDev('cat /etc/mayfly/secrets/provider_credential')).status, 0);
    assert.notEqual((await asDev('curl -s -m 3 http://169.254.169.254/hetzner/v1/userdata')).status, 0);
    assert.notEqual((await asDev('docker ps')).status, 0);
    assert.notEqual((await asDev('sudo -n id')).status, 0);
    assert.equal((await guest.run('curl -s -m 3 http://169.254.169.254/hetzner/v1/userdata')).out, '', 'not even root');
    assert.ok(guest.isUp());
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });

  await lab.step('the exchange is closed once its code may run', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('inside'), web_ui: 'ttyd' });
    await lab.ready(id);
    const told = await guest.sh(`cd /opt/mayfly && python3 -c 'import common; print(common.worker("POST", "/vm/boot", {"sealed": ""})[:2])'`);
    assert.match(told, /403.*boot_closed/);
    assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  });

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

// What a hostile repository tries from where its commands run, and that it gets nothing there; for the scenarios with and without
// a provider's credential on the VM.

/** Runs on the host, as far as the repository decides: tries what it must not get. */
export const ATTACK = [
  'for f in /etc/mayfly/vm.json /etc/mayfly/secrets/provider_credential /etc/mayfly/secrets/password; do cat $f >>/tmp/loot 2>/dev/null; done',
  'curl -s -m 3 http://169.254.169.254/hetzner/v1/userdata >>/tmp/loot 2>/dev/null',
  'curl -s -m 3 http://10.99.0.1/ >>/tmp/loot 2>/dev/null',
  'curl -sk -m 3 -X POST -H "content-type: application/json" -d "{}" https://mayfly.test/vm/boot >>/tmp/loot 2>/dev/null',
  'curl -sk -m 3 -X DELETE https://mayfly.test/vm >>/tmp/loot 2>/dev/null',
  'true',
].join('; ');

/** A repository with this in its devcontainer.json. */
export const hostile = (config) => ({
  files: {
    'README.md': '# hello\n',
    '.devcontainer.json': JSON.stringify({ image: 'mcr.microsoft.com/devcontainers/base:ubuntu', ...config }),
  },
});

/** Its commands in the container, and its VM's unprivileged user. `secrets`: what is on the VM besides its capability. */
export async function fromInside(lab, secrets) {
  const { assert, git, metadata } = lab;
  git.addRepo('inside', hostile({ postCreateCommand: ATTACK }));

  await lab.step('its commands in the container get nothing', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('inside'), web_ui: 'ttyd' });
    const vm = await lab.ready(id);
    assert.equal(vm.boot.reason, null);
    const loot = await guest.inside('cat /tmp/loot');
    for (const it of [...secrets, 'capability', '#cloud-config']) assert.ok(!loot.includes(it), loot);
    assert.match(loot, /unauthorized/, 'the Worker was reached, and refused');
    assert.deepEqual(metadata.requests.filter((it) => it.from === guest.address), [], 'the metadata service was not');
    const everything = await guest.inside('env; cat /proc/*/environ /mnt/mayfly/env.sh /mnt/mayfly/git/* 2>/dev/null; find / -xdev -name "vm.json" 2>/dev/null');
    const capability = JSON.parse(await guest.sh('cat /etc/mayfly/vm.json')).capability;
    for (const secret of [...secrets, capability]) assert.ok(!everything.includes(secret));
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
}

// A reboot, a stop and a start, and a copy of the disk: the VM comes back by itself; the copy is a new VM.
export const minutes = 15;

export default async function reboot(lab) {
  const { assert, cloud, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const body = { repo_url: git.url('shop'), idle_minutes: 30 };
  const { id, guest } = await lab.create(body);
  await lab.step('boot to ready', () => lab.ready(id));
  const exchanges = () => front.requests.filter((it) => it.path === '/vm/boot' && it.from === guest.address && it.status === 200).length;
  const isBack = (told) => until('it is ready again', () => {
    const log = guest.read('var/log/mayfly/boot.log') ?? '';
    return log.split('boot ').length > told && /phase ready\s*$/.test(log.trimEnd().concat('\n').split('\n').filter((it) => it.includes('phase')).at(-1) ?? '');
  }, { timeoutMs: 120_000, everyMs: 250 });
  const boots = () => (guest.read('var/log/mayfly/boot.log') ?? '').match(/ boot [0-9a-f-]{36}/g)?.length ?? 0;
  const works = () => {
    guest.sh('curl -fsSk -o /dev/null https://127.0.0.1/_mayfly/in -H "Host: $(cat /etc/mayfly/values/addresses | head -n1)" --resolve x:443:127.0.0.1 || curl -fsSk -o /dev/null --connect-to ::127.0.0.1:443 https://$(head -n1 /etc/mayfly/values/addresses)/_mayfly/in');
    guest.sh('/opt/mayfly/workspace/in-container true </dev/null');
    assert.equal(guest.sh('cat /workspaces/shop/kept.txt'), 'kept');
  };
  guest.sh('/opt/mayfly/workspace/in-container sh -c "echo kept >kept.txt" </dev/null');
  const keys = guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub');

  await lab.step('reboot', async () => {
    const before = boots();
    guest.sh('systemctl reboot --no-block');
    await until('it boots again', () => boots() > before, { timeoutMs: 120_000 });
    await isBack(before);
    works();
    assert.equal(exchanges(), 1, 'no second exchange');
  });
  await lab.step('stop and start at the provider', async () => {
    const before = boots();
    await cloud.provider('POST', `/servers/${guest.id}/actions/shutdown`);
    await cloud.provider('POST', `/servers/${guest.id}/actions/poweroff`);
    await until('it is off', () => !guest.isUp());
    await cloud.provider('POST', `/servers/${guest.id}/actions/poweron`);
    await until('it boots again', () => boots() > before, { timeoutMs: 120_000 });
    await isBack(before);
    works();
    assert.equal(exchanges(), 1, 'no second exchange');
  });
  await lab.step('a copy of its disk becomes a new VM while it runs', async () => {
    const beats = front.requests.length;
    cloud.copyNext(guest);
    const copy = await lab.create(body);
    await lab.ready(copy.id);
    assert.notEqual(copy.guest.sh('cat /etc/mayfly/values/vm'), guest.sh('cat /etc/mayfly/values/vm'));
    assert.notEqual(copy.guest.sh('cat /etc/mayfly/secrets/password'), guest.sh('cat /etc/mayfly/secrets/password'));
    assert.notEqual(copy.guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub'), keys, 'its own host keys');
    assert.equal(guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub'), keys);
    assert.equal(copy.guest.run('docker ps -aq --filter label=mayfly=workspace | wc -l').out.trim(), '1');
    assert.deepEqual(front.requests.slice(beats).filter((it) => it.from === copy.guest.address && it.path === '/vm' && it.method === 'DELETE'), []);
    assert.equal((await lab.api('DELETE', `/vms/${copy.id}`)).status, 200);
    await lab.gone(copy.id);
    works();
  });
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

// A reboot, a stop and a start, and a copy of the disk: the VM comes back by itself; the copy is a new VM.
export const minutes = 15;

export default async function reboot(lab) {
  const { assert, cloud, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const body = { repo_url: git.url('shop'), idle_minutes: 30 };
  const { id, guest } = await lab.create(body);
  await lab.step('boot to ready', () => lab.ready(id));
  const exchanges = () => front.requests.filter((it) => it.path === '/vm/boot' && it.from === guest.address && it.status === 200).length;
  const isBack = () => until('it is ready again', () => {
    const ofThisBoot = (guest.read('var/log/mayfly/boot.log') ?? '').split(/ boot [0-9a-f-]{36}/).at(-1);
    return ofThisBoot.match(/ phase \S+/g)?.at(-1) === ' phase ready';
  }, { timeoutMs: 120_000, everyMs: 250 });
  const boots = () => (guest.read('var/log/mayfly/boot.log') ?? '').match(/ boot [0-9a-f-]{36}/g)?.length ?? 0;
  const works = async () => {
    await guest.sh(`curl -fsSk -o /dev/null https://${guest.address}/_mayfly/in`);
    await guest.sh('/opt/mayfly/workspace/in-container true </dev/null');
    assert.equal(await guest.sh('cat /workspaces/shop/kept.txt'), 'kept');
  };
  await guest.inside('echo kept >kept.txt');
  const keys = await guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub');

  await lab.step('reboot', async () => {
    const before = boots();
    await guest.sh('systemctl reboot --no-block');
    await until('it boots again', () => boots() > before, { timeoutMs: 120_000 });
    await isBack();
    await works();
    assert.equal(exchanges(), 1, 'no second exchange');
  });
  await lab.step('stop and start at the provider', async () => {
    const before = boots();
    await cloud.act(guest, 'poweroff');
    await until('it is off', () => !guest.isUp());
    await cloud.act(guest, 'poweron');
    await until('it boots again', () => boots() > before, { timeoutMs: 120_000 });
    await isBack();
    await works();
    assert.equal(exchanges(), 1, 'no second exchange');
  });
  await lab.step('a copy of its disk becomes a new VM while it runs', async () => {
    const beats = front.requests.length;
    cloud.copyNext(guest);
    const copy = await lab.create(body);
    await lab.ready(copy.id);
    assert.notEqual(await copy.guest.sh('cat /etc/mayfly/values/vm'), await guest.sh('cat /etc/mayfly/values/vm'));
    assert.notEqual(await copy.guest.sh('cat /etc/mayfly/secrets/password'), await guest.sh('cat /etc/mayfly/secrets/password'));
    assert.notEqual(await copy.guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub'), keys, 'its own host keys');
    assert.equal(await guest.sh('cat /etc/ssh/ssh_host_ed25519_key.pub'), keys);
    assert.equal((await copy.guest.run('docker ps -aq --filter label=mayfly=workspace | wc -l')).out.trim(), '1');
    assert.deepEqual(front.requests.slice(beats).filter((it) => it.from === copy.guest.address && it.path === '/vm' && it.method === 'DELETE'), []);
    assert.equal((await lab.api('DELETE', `/vms/${copy.id}`)).status, 200);
    await lab.gone(copy.id);
    await works();
  });
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

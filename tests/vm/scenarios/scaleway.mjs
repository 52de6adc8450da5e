// At Scaleway: created, given its user data and switched on in three calls; it terminates itself with a credential of its own,
// and nothing is left behind. The second way is the Worker's.
const CREDENTIAL = 'test-cloud-token';
export const minutes = 12;
export const options = { provider: 'scaleway', vars: { SCALEWAY_VM_SECRET_KEY: CREDENTIAL } };

export default async function scaleway(lab) {
  const { assert, cloud, front, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const nothingLeft = async () => {
    const { scaleway: it } = await cloud.fake.state();
    assert.deepEqual([it.servers, it.volumes, it.ips], [[], [], []]);
  };

  await lab.step('idle: the VM terminates itself at Scaleway', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
    assert.match(id, /^scaleway-[a-z]{2}-[a-z]{3}-\d-/);
    assert.ok(!guest.userData.includes(CREDENTIAL), 'no credential in the user data');
    await lab.ready(id);
    await lab.gone(id);
    assert.match(guest.read('var/log/mayfly/idle.log'), /by_provider: accepted/);
    const asked = front.requests.filter((it) => it.host === 'api.scaleway.com' && it.from === guest.address);
    assert.deepEqual(asked.map((it) => [it.method, it.path.split('/').at(-1)]), [['POST', 'action']]);
    await nothingLeft();
  });

  await lab.step('Scaleway refuses: the Worker does it', async () => {
    front.break('api.scaleway.com', () => ({ status: 503, body: '{"type":"unavailable","message":"no"}' }));
    const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
    await lab.ready(id);
    await lab.gone(id);
    const log = guest.read('var/log/mayfly/idle.log');
    assert.match(log, /by_provider: refused/);
    assert.match(log, /by_worker: accepted/);
    await nothingLeft();
  });
}

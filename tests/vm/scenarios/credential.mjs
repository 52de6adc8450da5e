// The VM deletes itself at the provider with a credential of its own; the Worker is the second way.
import { accepts } from '../lab/look.mjs';

const CREDENTIAL = 'test-cloud-token';
export const minutes = 12;
export const options = { vars: { HETZNER_VM_TOKEN: CREDENTIAL } };

export default async function credential(lab) {
  const { assert, cloud, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });

  await lab.step('idle: the VM asks the provider itself', async () => {
    const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
    assert.ok(!guest.userData.includes(CREDENTIAL), 'no credential in the user data');
    await lab.ready(id);
    assert.match(await guest.sh('stat -c "%a %U" /etc/mayfly/secrets/provider_credential'), /^600 root$/);
    await lab.gone(id);
    assert.match(guest.read('var/log/mayfly/idle.log'), /by_provider: accepted/);
    assert.ok(front.requests.some((it) => it.host === 'api.hetzner.cloud' && it.method === 'DELETE' && it.from === guest.address));
  });

  await lab.step('the provider refuses: the Worker does it', async () => {
    front.break('api.hetzner.cloud', () => ({ status: 503, body: '{"error":{"code":"service_error","message":"no"}}' }));
    const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
    await lab.ready(id);
    await lab.gone(id);
    const log = guest.read('var/log/mayfly/idle.log');
    assert.match(log, /by_provider: refused/);
    assert.match(log, /by_worker: accepted/);
    await until('its machine is gone, too', async () => !(await accepts(guest.address, 22)));
  });
  await until('nothing is left', async () => (await cloud.fake.state()).servers.length === 0);
}

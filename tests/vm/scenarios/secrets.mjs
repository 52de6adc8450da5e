// Every secret that a VM gets is looked for in arguments, environments, logs, disks and what the provider stores.
import { KEYS } from '../lab/lab.mjs';

export const minutes = 12;
const GIT = 'lab-git-token-0123456789abcdef';
const OWN = 'the-value-of-a-variable-9876543210';
const CREDENTIAL = 'test-cloud-token';
export const options = { vars: { HETZNER_VM_TOKEN: CREDENTIAL, ANTHROPIC_API_KEY: KEYS.anthropic } };

export default async function secrets(lab) {
  const { assert, cloud, git } = lab;
  git.addRepo('shop', { token: GIT, files: { 'README.md': '# Shop\n', '.devcontainer.json': '{"image": "mcr.microsoft.com/devcontainers/base:ubuntu", "postCreateCommand": "true"}' } });
  const made = await lab.create({ repo_url: git.url('shop'), git_token: GIT, env: { MY_SECRET: OWN }, anthropic_api_key: KEYS.anthropic });
  const { id, guest } = made;
  await lab.ready(id);
  const capability = JSON.parse(await guest.sh('cat /etc/mayfly/vm.json')).capability;
  const all = {
    password: made.password, git: GIT, env: OWN, anthropic: KEYS.anthropic, credential: CREDENTIAL, capability,
    link_key: await guest.sh('cat /etc/mayfly/secrets/link_key'), session_key: await guest.sh('cat /etc/mayfly/secrets/session_key'),
    ui_password: await guest.sh('cat /etc/mayfly/secrets/ui_password'),
  };
  const shapes = (secret) => [secret, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -2)];

  await lab.step('the container works with them', async () => {
    assert.equal(await guest.inside('echo $MY_SECRET'), OWN);
    assert.equal(await guest.inside('echo $ANTHROPIC_API_KEY'), KEYS.anthropic);
    assert.equal(await guest.inside('git ls-remote origin HEAD >/dev/null && echo yes'), 'yes');
  });
  await lab.step('none is in anybody’s arguments', async () => {
    const lines = await guest.sh('cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "');
    for (const [name, secret] of Object.entries(all)) assert.ok(!lines.includes(secret), name);
  });
  await lab.step('none is in the environment of a process outside the container that is not root’s', async () => {
    const environments = await guest.sh(`for p in $(pgrep -u dev,mayfly-door); do [ "$(readlink /proc/$p/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] && tr "\\0" "\\n" </proc/$p/environ; done; true`);
    for (const [name, secret] of Object.entries(all)) assert.ok(!environments.includes(secret), name);
  });
  await lab.step('none is in a log', async () => {
    const logs = await guest.sh('journalctl --no-pager -q; cat /var/log/mayfly/*.log /var/log/cloud-init*.log /root/.npm/_logs/* 2>/dev/null; docker logs $(cat /var/lib/mayfly/container/id) 2>&1', { timeoutMs: 120_000 });
    for (const [name, secret] of Object.entries(all)) for (const shape of shapes(secret)) assert.ok(!logs.includes(shape), name);
    const worker = JSON.stringify(cloud.worker.logs());
    for (const [name, secret] of Object.entries(all)) assert.ok(!worker.includes(secret), name);
  });
  await lab.step('on the disk each is only in files that root alone reads', async () => {
    for (const [name, secret] of Object.entries(all)) {
      const found = (await guest.run(`grep -rlsF -- "$(cat)" /etc /var/lib/mayfly /var/lib/cloud /var/lib/mayfly-door /home /workspaces /root /tmp /var/tmp /opt/mayfly /var/lib/docker/containers`,
        { input: secret, timeoutMs: 120_000 })).out.split('\n').filter(Boolean);
      // The agent remembers the last characters of a key that it was told to use, and CloudCLI its own session.
      const wrong = found.filter((path) => !/^\/etc\/mayfly\/(vm\.json|secrets\/)/.test(path));
      assert.deepEqual(wrong, [], name);
    }
    assert.equal(await guest.sh('find /etc/mayfly/secrets /etc/mayfly/vm.json -type f ! -perm 600'), '');
    assert.equal((await guest.run('setpriv --reuid dev --regid dev --init-groups cat /etc/mayfly/vm.json /etc/mayfly/secrets/password')).status, 1);
  });
  await lab.step('none is at the provider, in labels or user data', async () => {
    const state = JSON.stringify(await cloud.fake.state()) + guest.userData.replaceAll(capability, '');
    for (const [name, secret] of Object.entries(all)) for (const shape of shapes(secret)) assert.ok(!state.includes(shape), name);
  });
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

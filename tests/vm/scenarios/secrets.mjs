// Every secret that a VM gets is looked for in arguments, environments, logs, disks and what the provider stores.
import { KEYS } from '../lab/lab.mjs';
import { filesWith, holds, logs, processes } from '../lab/secrets.mjs';

export const minutes = 12;
const GIT = 'lab-git-token-0123456789abcdef';
const OWN = 'the-value-of-a-variable-9876543210';
const CREDENTIAL = 'test-cloud-token';
/** Root's own files. */
const MAY_HOLD = /^\/(etc\/mayfly\/(vm\.json|secrets\/))/;
export const options = {
  bucket: true,
  vars: { HETZNER_VM_TOKEN: CREDENTIAL, ANTHROPIC_API_KEY: KEYS.anthropic, BACKUP_KEY: 'a-backup-key-of-the-lab-0123456789abcdef' },
};

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
    ui_password: await guest.sh('cat /etc/mayfly/secrets/ui_password'), backup_password: await guest.sh('cat /etc/mayfly/secrets/backup_password'),
  };
  await guest.sh('systemctl start mayfly-backup.service', { timeoutMs: 120_000 });
  const { token } = JSON.parse(await guest.sh('cat /run/mayfly/backup/token.json'));

  await lab.step('the container works with them', async () => {
    assert.equal(await guest.inside('echo $MY_SECRET'), OWN);
    assert.equal(await guest.inside('echo $ANTHROPIC_API_KEY'), KEYS.anthropic);
    assert.equal(await guest.inside('git ls-remote origin HEAD >/dev/null && echo yes'), 'yes');
  });
  await lab.step('none is in anybody’s arguments, or in the environment of a process outside the container that is not root’s', async () => {
    all.token = token;
    const seen = await processes(guest);
    for (const [name, secret] of Object.entries(all)) for (const [where, text] of Object.entries(seen)) assert.ok(!holds(text, secret), `${name} in ${where}`);
  });
  await lab.step('none is in a log', async () => {
    const texts = { vm: await logs(guest), worker: JSON.stringify(cloud.worker.logs()) };
    assert.ok(texts.vm.includes('phase ui'), 'there is something to look at');
    for (const [name, secret] of Object.entries(all)) for (const [where, text] of Object.entries(texts)) assert.ok(!holds(text, secret), `${name} in ${where}`);
  });
  delete all.token;
  await lab.step('on the disk each is only in files that root alone reads', async () => {
    for (const [name, secret] of Object.entries(all)) {
      const found = await filesWith(guest, secret);
      assert.ok(found.some((path) => path.startsWith('/etc/mayfly/')), `${name} is found where it belongs`);
      assert.deepEqual(found.filter((path) => !MAY_HOLD.test(path)), [], name);
    }
    assert.deepEqual(await filesWith(guest, token), [], 'a token for backups is in memory alone');
    assert.equal(await guest.sh('find /etc/mayfly/secrets /etc/mayfly/vm.json -type f ! -perm 600'), '');
    assert.equal((await guest.run('setpriv --reuid dev --regid dev --init-groups cat /etc/mayfly/vm.json /etc/mayfly/secrets/password')).status, 1);
  });
  await lab.step('none is at the provider, in labels or user data', async () => {
    const state = JSON.stringify(await cloud.fake.state()) + guest.userData.replaceAll(capability, '');
    for (const [name, secret] of Object.entries(all)) assert.ok(!holds(state, secret), name);
  });
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

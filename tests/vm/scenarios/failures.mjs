// A boot that fails in each of its phases: reported with phase, reason and log, shown at the door, and still deleted.
import { newPage } from '../lab/look.mjs';

export const minutes = 25;

export default async function failures(lab) {
  const { assert, cloud, front, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  git.addRepo('locked', { token: 'somebody-elses-token', files: { 'README.md': 'secret\n' } });
  git.addRepo('broken', { files: { '.devcontainer/devcontainer.json': '{"build": {"dockerfile": "Dockerfile"}}', '.devcontainer/Dockerfile': 'FROM scratch\nRUN nothing\n' } });
  const common = { repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 };
  const begun = [];
  const failing = async (body, change) => {
    cloud.beforeNext(change);
    const made = await lab.create({ ...common, ...body });
    begun.push(made);
    return made;
  };

  await lab.step('docker: the engine does not start', async () => {
    const { id } = await failing({}, (guest) => guest.put('etc/docker/daemon.json', '{ not json'));
    const { boot } = await lab.phase(id, 'failed');
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['docker', 'docker_failed']);
  });
  await lab.step('clone: there is no such repository', async () => {
    const { id } = await failing({ repo_url: git.url('nowhere') });
    const { boot } = await lab.phase(id, 'failed');
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['clone', 'not_found']);
  });
  await lab.step('clone: it is private', async () => {
    const { id } = await failing({ repo_url: git.url('locked') });
    const { boot } = await lab.phase(id, 'failed');
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['clone', 'auth_failed']);
  });
  await lab.step('clone: it leads to a private address', async () => {
    for (const [name, to] of [['inward', 'https://neighbour.test/shop'], ['meta', 'https://metadata.test/x']]) {
      git.redirect(name, to);
      const { id } = await failing({ repo_url: git.url(name) });
      const { boot } = await lab.phase(id, 'failed');
      assert.deepEqual([boot.reason.phase, boot.reason.code], ['clone', 'forbidden_address']);
    }
  });
  await lab.step('devcontainer: neither its own nor the default can be had', async () => {
    front.break('mcr.microsoft.com', () => ({ status: 503, body: 'no' }));
    const { id, guest, password } = await failing({});
    const { boot, urls } = await lab.phase(id, 'failed');
    front.mend('mcr.microsoft.com');
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['devcontainer', 'build_failed']);
    // The door shows the log, the terminal is the VM's own, without rights.
    const browser = await lab.browser();
    const page = await newPage(browser);
    await page.goto(`https://${guest.address}/_mayfly/status`);
    await page.getByLabel('Password of this workspace').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('build_failed').waitFor();
    await page.getByText('devcontainer.log').click();
    assert.match(await page.locator('body').innerText(), /mcr\.microsoft\.com/);
    assert.ok(urls.status);
  });
  await lab.step('devcontainer: its own is broken, the default comes instead and says so', async () => {
    const { id } = await failing({ repo_url: git.url('broken') });
    const { boot } = await lab.ready(id);
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['devcontainer', 'fallback']);
  });
  await lab.step('ui: it cannot be installed; the terminal is there', async () => {
    front.break(lab.hosts.npm, () => ({ status: 503, body: 'no' }));
    const { id, guest } = await failing({ web_ui: 'cloudcli' }, (it) => it.remove('opt/mayfly-ui/.installed'));
    const { boot } = await lab.ready(id);
    front.mend(lab.hosts.npm);
    assert.deepEqual([boot.reason.phase, boot.reason.code], ['ui', 'download_failed']);
    await guest.sh('curl -fsS -o /dev/null http://127.0.0.1:7681/terminal/');
  });
  await lab.step('all of them are deleted when idle', async () => {
    for (const { id } of begun) await lab.gone(id, { timeoutMs: 420_000 });
  });
}

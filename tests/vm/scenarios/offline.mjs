// A VM that loses its network for an hour, when it wants to end: it stays, claims nothing, and goes when the network is back. Takes as
// long as it says.
import { ip } from '../lab/network.mjs';

export const minutes = 80;
const OFFLINE_MINUTES = 60;

export default async function offline(lab) {
  const { assert, cloud, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
  await lab.ready(id);
  const [link] = ip('-o', 'link', 'show', 'master', 'br0').split('\n').filter(Boolean).map((it) => /^\d+: ([^@:]+)/.exec(it)[1]);
  ip('link', 'set', link, 'down');

  await lab.step('it tries, and stays as long as nobody hears it', async () => {
    const end = Date.now() + OFFLINE_MINUTES * 60_000;
    await until('it wants to end', () => /by_worker: /.test(guest.read('var/log/mayfly/idle.log') ?? ''), { timeoutMs: 600_000, everyMs: 1000 });
    await until('the hour is over', () => Date.now() > end, { timeoutMs: OFFLINE_MINUTES * 60_000 + 5000, everyMs: 5000 });
    assert.ok(guest.isUp());
    assert.equal((await cloud.fake.state()).servers.length, 1);
    assert.doesNotMatch(guest.read('var/log/mayfly/idle.log'), /accepted/);
  });
  await lab.step('the network is back: gone', async () => {
    ip('link', 'set', link, 'up');
    await lab.gone(id, { timeoutMs: 600_000 });
  });
}

// The Worker is gone for ten minutes when the VM wants to end: the end is only late.
export const minutes = 20;
const OUTAGE_MINUTES = 10;

export default async function outage(lab) {
  const { assert, cloud, front, git, until } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: 'ttyd', idle_minutes: 1 });
  await lab.ready(id);
  front.break('mayfly.test');

  await lab.step('it tries, and stays as long as nobody hears it', async () => {
    const end = Date.now() + OUTAGE_MINUTES * 60_000;
    await until('it wants to end', () => /by_worker: refused/.test(guest.read('var/log/mayfly/idle.log') ?? ''), { timeoutMs: 240_000 });
    await until('ten minutes are over', () => Date.now() > end, { timeoutMs: OUTAGE_MINUTES * 60_000 + 5000, everyMs: 1000 });
    assert.ok(guest.isUp());
    assert.equal((await cloud.fake.state()).servers.length, 1);
    assert.doesNotMatch(guest.read('var/log/mayfly/idle.log'), /accepted/);
  });
  await lab.step('the Worker is back: gone', async () => {
    front.mend('mayfly.test');
    await lab.gone(id, { timeoutMs: 300_000 });
  });
}

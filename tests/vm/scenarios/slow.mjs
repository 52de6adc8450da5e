// A repository whose devcontainer does not come to an end: it has its twenty minutes, counts as work as long, and the default comes
// instead. Takes as long as it says.
export const minutes = 45;

const LIMIT_SECS = 1200;

export default async function slow(lab) {
  const { assert, git, until } = lab;
  const devcontainer = { image: 'mcr.microsoft.com/devcontainers/base:ubuntu', postCreateCommand: 'sleep 3000' };
  git.addRepo('slow', { files: { 'README.md': '# Slow\n', '.devcontainer.json': JSON.stringify(devcontainer) } });
  const { id, guest } = await lab.create({ repo_url: git.url('slow'), web_ui: 'ttyd', idle_minutes: 5 });
  const began = await until('its build begins', async () => ((await lab.vm(id)).phase === 'devcontainer' ? Date.now() : null), { timeoutMs: 240_000, everyMs: 500 });

  await lab.step('it is stopped when its time is up, and the default comes, and says so', async () => {
    const { boot } = await lab.ready(id, { timeoutMs: (LIMIT_SECS + 240) * 1000 });
    const secs = (Date.now() - began) / 1000;
    process.stdout.write(`    after ${secs.toFixed(0)} s\n`);
    assert.ok(secs >= LIMIT_SECS - 5, `after ${secs} s`);
    assert.deepEqual([boot.reason?.phase, boot.reason?.code], ['devcontainer', 'fallback']);
    assert.equal(await guest.inside('cat README.md'), '# Slow');
    assert.equal((await guest.run('pgrep -f "^sleep 3000"')).status, 1, 'nothing of it is left');
  });
  await lab.step('then it is idle, and gone', () => lab.gone(id, { timeoutMs: 12 * 60_000 }));
}

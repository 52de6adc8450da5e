// Seconds per phase and per step of a boot, from the VM's own log: where the time goes, and which steps the others wait
// for. Measures; asserts that the boot went well, and that our own part of it (all but downloads and the repository's build) is short.

/** Steps that download or build what is not ours: packages, programs, the repository's devcontainer. */
const OTHERS = ['base', 'node', 'caddy', 'engine', 'tools', 'ui', 'devcontainer'];

/** Seconds of a boot that may be our own. */
const OWN_MAX_SECS = 20;

/**
 * Boots once and prints its table and machine-readable lines `seconds <image> <what> <value>`.
 * @param {object} lab
 * @param {{label: string, webUi: string}} options
 */
export async function times(lab, { label, webUi }) {
  const { assert, git } = lab;
  git.addRepo('shop', { files: { 'README.md': '# Shop\n' } });
  const { id, guest } = await lab.create({ repo_url: git.url('shop'), web_ui: webUi });
  const vm = await lab.ready(id, { timeoutMs: 1_200_000 });
  assert.equal(vm.boot.reason, null);
  const lines = guest.read('var/log/mayfly/boot.log').trim().split('\n');
  const at = (line) => Date.parse(line.split(' ')[0]) / 1000;
  const steps = lines.flatMap((line) => {
    const [, name, secs] = / (\S+): status \d+ after (\d+) s/.exec(line) ?? [];
    return name ? [{ name, begin: at(line) - Number(secs), end: at(line) }] : [];
  });
  const phases = lines.flatMap((line) => {
    const [, name] = / phase (\S+)$/.exec(line) ?? [];
    return name ? [{ name, at: at(line) }] : [];
  });
  const [powerOn, ready] = [guest.bootedAt / 1000, phases.at(-1).at];
  const total = ready - powerOn;
  const path = critical(steps, powerOn, ready);
  const own = path.filter((it) => !OTHERS.includes(it.name)).reduce((sum, it) => sum + it.secs, 0);

  const print = (text) => process.stdout.write(`${text}\n`);
  print(`  ${label}: ${webUi}, ${total.toFixed(0)} s from power on to ready`);
  phases.slice(0, -1).forEach((it, index) => print(`    phase ${it.name.padEnd(13)} ${String(Math.round(phases[index + 1].at - it.at)).padStart(4)} s`));
  for (const it of steps) print(`    step  ${it.name.padEnd(13)} ${String(Math.round(it.end - it.begin)).padStart(4)} s  from ${Math.round(it.begin - powerOn)} s`);
  print(`    critical path: ${path.map((it) => `${it.name} ${Math.round(it.secs)} s`).join(' → ')}`);
  print(`seconds ${label} total ${total.toFixed(1)}`);
  print(`seconds ${label} own ${own.toFixed(1)}`);
  assert.ok(own < OWN_MAX_SECS, `${own.toFixed(1)} s of our own, and ${OWN_MAX_SECS} are allowed`);
  assert.equal((await lab.api('DELETE', `/vms/${id}`)).status, 200);
  await lab.gone(id);
}

/** From the end backwards: at each moment the step that ended last is what was waited for; what is between is our own. */
function critical(steps, from, to) {
  const path = [];
  let now = to;
  while (now > from) {
    const before = steps.filter((it) => it.end <= now + 0.5 && it.end > it.begin && it.begin < now);
    const last = before.sort((a, b) => b.end - a.end || b.end - b.begin - (a.end - a.begin))[0];
    if (!last) break;
    if (now - last.end > 0) path.unshift({ name: 'scripts', secs: now - last.end });
    path.unshift({ name: last.name, secs: Math.min(last.end, now) - last.begin });
    now = last.begin;
  }
  if (now > from) path.unshift({ name: 'power on and scripts', secs: now - from });
  return path;
}

// Runs scenarios of the boot lab, one after the other; for run.mjs and for `npm test`. What cannot be had on this machine
// (root, Linux, the packages) makes all of them skipped, with the reason.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildTools, buildWorker, cacheDir, root, say, targetDir, toolEnv } from '../run/prepare.mjs';
import { aptInstall, needChromium, onPath } from '../run/tools.mjs';

const INNER = fileURLToPath(new URL('lab/inner.mjs', import.meta.url));
const ROOTED = fileURLToPath(new URL('lab/rooted.sh', import.meta.url));
/** Programs of the lab, and the packages that bring them. */
const PROGRAMS = {
  'systemd-nspawn': 'systemd-container', mmdebstrap: 'mmdebstrap', dnsmasq: 'dnsmasq-base', ip: 'iproute2', git: 'git', 'git-lfs': 'git-lfs',
  ssh: 'openssh-client',
};

/** Resolves to `{passed, failed, skipped}`. `folder`: where their files are. */
export async function runScenarios(names, { folder = 'scenarios' } = {}) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const reason = await missing();
  if (reason) {
    say(`skipped: the boot lab (${reason})`);
    return { ...counts, skipped: names.length };
  }
  await buildTools('mayfly-xtask', 'mayfly-fake-cloud');
  await buildWorker();
  const [{ labImage }, { startProxies }] = await Promise.all([import('./images.mjs'), import('./stand-ins/proxies.mjs')]);
  const scratch = mkdtempSync(join(cacheDir(), 'vm-run-'));
  let proxies;
  try {
    proxies = await startProxies({ dir: scratch });
    for (const name of names) {
      const file = new URL(`${folder}/${name}.mjs`, import.meta.url).href;
      const { image: kind = 'warm', withCodeServer } = await import(file);
      const image = await labImage(kind, { withCodeServer });
      process.stdout.write(`\n${name}\n`);
      const status = await one(name, { file, scratch, image, proxies: JSON.parse(JSON.stringify(proxies)) });
      process.stdout.write(`${status === 0 ? '✔' : '✖'} ${name}\n`);
      counts[status === 0 ? 'passed' : 'failed'] += 1;
    }
  } catch (error) {
    if (error.code !== 'CANNOT') throw error;
    say(`skipped: the boot lab (${error.message})`);
    counts.skipped = names.length - counts.passed - counts.failed;
  } finally {
    await proxies?.stop();
    if (!process.env.MAYFLY_LAB_KEEP) rmSync(scratch, { recursive: true, force: true });
  }
  return counts;
}

async function missing() {
  if (process.platform !== 'linux') return 'it takes Linux';
  if (process.getuid() !== 0) return 'it takes root';
  const packages = Object.entries(PROGRAMS).filter(([program]) => !onPath(program)).map(([, name]) => name);
  if (packages.length > 0 && !(await aptInstall(...packages))) return `it takes ${packages.join(', ')}`;
  process.env.CHROMIUM = (await needChromium()) ?? '';
  if (!process.env.CHROMIUM) return 'it takes Chromium';
  return undefined;
}

/** One scenario: processes, mounts and network end with it. */
async function one(name, { file, scratch, image, proxies }) {
  const group = `mayfly-lab-${process.pid}`;
  const dir = join(scratch, name);
  const prepared = join(scratch, `${name}.json`);
  writeFileSync(prepared, JSON.stringify({ image, proxies, dir, group, keep: join(cacheDir(), 'vm-failed', name) }));
  const args = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
  // What `ip netns` and systemd-nspawn keep is the lab's alone; the latter wants it in memory, or a guest cannot reboot.
  const start = 'for it in netns systemd/nspawn; do mkdir -p /run/$it && mount -t tmpfs tmpfs /run/$it || exit; done; exec "$@"';
  args.push(ROOTED, 'sh', '-c', start, 'lab', process.execPath, INNER, file, prepared);
  const env = toolEnv({ FAKE_CLOUD_BIN: process.env.FAKE_CLOUD_BIN ?? join(targetDir, 'debug/fake-cloud') });
  const child = spawn('unshare', args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const status = await new Promise((done) => child.once('exit', (code) => done(code ?? 1)));
  process.off('exit', kill);
  removeGroups(group);
  return status;
}

/** Control groups outlive the processes that were in them. */
function removeGroups(group) {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((it) => / - cgroup2 /.test(it)).map((it) => it.split(' ')[4]);
  for (const mount of mounts) {
    const top = join(mount, group);
    if (!existsSync(top)) continue;
    spawn('find', [top, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+'], { stdio: 'ignore' });
  }
}

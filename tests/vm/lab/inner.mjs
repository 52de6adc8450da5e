// One scenario in namespaces of its own, as scenarios.mjs starts it: `inner.mjs <its file> <file with what was prepared>`.
// Prints its steps; exit status 0 if all of it held. Logs are kept when it did not.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from './guest.mjs';
import { startLab } from './lab.mjs';

const [file, prepared] = process.argv.slice(2);
const { image, proxies, dir, group, keep } = JSON.parse(readFileSync(prepared, 'utf8'));
const scenario = await import(file);
const began = Date.now();
const seconds = (since = began) => ((Date.now() - since) / 1000).toFixed(1);

mkdirSync(dir, { recursive: true });
if (!canCarryOverlays()) must('mount', ['-t', 'tmpfs', 'tmpfs', dir]);
let lab;
let code = 1;
try {
  lab = await startLab({ dir, proxies, group, image, ...scenario.options });
  lab.step = async (title, body) => {
    const since = Date.now();
    try {
      const result = await body();
      process.stdout.write(`  ✔ ${title} (${seconds(since)} s)\n`);
      return result;
    } catch (error) {
      process.stdout.write(`  ✖ ${title} (${seconds(since)} s)\n`);
      throw error;
    }
  };
  const timeout = new Promise((_, failed) => {
    const minutes = scenario.minutes ?? 10;
    setTimeout(() => failed(new Error(`not done within ${minutes} min`)), minutes * 60_000).unref();
  });
  await Promise.race([scenario.default(lab), timeout]);
  code = 0;
} catch (error) {
  process.stdout.write(`${error.stack ?? error}\n${error.cause ? `because: ${error.cause.stack ?? error.cause}\n` : ''}`);
  rmSync(keep, { recursive: true, force: true });
  try {
    lab?.keepLogs(keep);
    process.stdout.write(`logs: ${keep}\n`);
  } catch (worse) {
    process.stdout.write(`no logs: ${worse.message}\n`);
  }
}
process.stdout.write(`  ${seconds()} s\n`);
// Everything else ends with the namespaces.
await Promise.race([lab?.stop().catch((error) => process.stdout.write(`${error.message}\n`)), new Promise((go) => setTimeout(go, 20_000))]);
process.exit(code);

/** Guests' disks are overlays, and so are their containers': not on a file system that is one itself. Memory will do. */
function canCarryOverlays() {
  const part = (name) => join(dir, 'probe', name);
  for (const name of ['lower', 'upper', 'work', 'all']) mkdirSync(part(name), { recursive: true });
  const options = `lowerdir=${part('lower')},upperdir=${part('upper')},workdir=${part('work')}`;
  const can = spawnSync('mount', ['-t', 'overlay', 'overlay', '-o', options, part('all')]).status === 0;
  if (can) must('umount', [part('all')]);
  rmSync(join(dir, 'probe'), { recursive: true, force: true });
  return can;
}

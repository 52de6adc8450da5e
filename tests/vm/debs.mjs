// Single packages out of another suite of this machine's own distribution, unpacked without being installed: programs
// that its release does not have. The mirror is the one that apt uses; checksums are those of the suite's index.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The packages of each suite that was asked for: its index, as text. */
const indexes = new Map();

/** Unpacks a package below a directory. */
export async function unpackDeb({ suite, name, to }) {
  const mirror = aptUris().find((it) => !it.includes('security'));
  if (!indexes.has(suite)) indexes.set(suite, unxz(await download(`${mirror}dists/${suite}/main/binary-amd64/Packages.xz`)));
  const entry = indexes.get(suite).split('\n\n').find((it) => it.startsWith(`Package: ${name}\n`));
  if (!entry) throw new Error(`${suite} has no package ${name}`);
  const field = (key) => new RegExp(`^${key}: (.*)$`, 'm').exec(entry)[1];
  const deb = await download(mirror + field('Filename'));
  if (createHash('sha256').update(deb).digest('hex') !== field('SHA256')) throw new Error(`${name}: not what the index says`);
  const scratch = mkdtempSync(join(tmpdir(), 'deb-'));
  try {
    writeFileSync(join(scratch, 'it.deb'), deb);
    const done = spawnSync('dpkg-deb', ['--extract', join(scratch, 'it.deb'), to], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** What apt fetches from, on this machine. An error with code CANNOT if it fetches from nowhere. */
export function aptUris() {
  const list = () => (spawnSync('apt-get', ['indextargets', '--format', '$(REPO_URI)'], { encoding: 'utf8' }).stdout ?? '').split('\n').filter(Boolean);
  let found = list();
  // Apt names what it has fetched: on a new machine nothing.
  if (found.length === 0 && spawnSync('apt-get', ['update', '-q'], { stdio: ['ignore', 2, 2] }).status === 0) found = list();
  if (found.length === 0) throw Object.assign(new Error('apt knows no mirror'), { code: 'CANNOT' });
  return found;
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${new URL(url).pathname}: ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

function unxz(data) {
  const done = spawnSync('xz', ['-dc'], { input: data, maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`xz: ${done.stderr}`);
  return done.stdout.toString();
}

// What the backup tests need around the Worker: capabilities signed as the core signs them, restic with its secrets in files,
// trees of files with everything that a file system has, and what workerd takes of the memory.
import { spawn } from 'node:child_process';
import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, link, lstat, mkdir, readFile, readdir, readlink, symlink, utimes, writeFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { SIGNING_KEY } from '../e2e/support/worker.mjs';

export const RESTIC = process.env.RESTIC_BIN ?? 'restic';

/** A capability for one workspace's backups, or for the agent of an owner's VM. */
export function capability(scope, workspace, { seconds = 3600, vm = 'a-vm-of-a-test', owner, signingKey = SIGNING_KEY } = {}) {
  const [id, key] = signingKey.split(':');
  const expires = Math.floor(Date.now() / 1000) + seconds;
  const claims = { d: 'mayfly', v: vm, p: 'hetzner', r: 'fsn1', s: scope, x: expires, w: workspace, o: owner };
  const signed = `mfc1.${id}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  const mac = createHmac('sha256', key);
  for (const part of ['capability', signed]) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
    mac.update(length).update(part);
  }
  return `${signed}.${mac.digest('base64url')}`;
}

/**
 * A client of its own: home, cache, password and token are its own files.
 * @returns a function that runs restic and resolves to {code, out}; with `started`, at once to the child.
 */
export async function client(dir, url, workspace, scope, packMib) {
  await mkdir(dir, { recursive: true });
  const at = (name) => join(dir, name);
  const address = new URL(`/vm/backup/${workspace}/`, url);
  Object.assign(address, { username: 'mayfly', password: capability(scope, workspace) });
  await writeFile(at('repository'), `rest:${address}`, { mode: 0o600 });
  await writeFile(at('password'), 'a password of a test', { mode: 0o600 });
  const env = {
    PATH: process.env.PATH,
    HOME: dir,
    RESTIC_CACHE_DIR: at('cache'),
    RESTIC_REPOSITORY_FILE: at('repository'),
    RESTIC_PASSWORD_FILE: at('password'),
    RESTIC_PACK_SIZE: String(packMib),
  };
  return (args, { started } = {}) => {
    const child = spawn(RESTIC, args, { env, cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (out += chunk));
    const ended = new Promise((done) => child.on('close', (code) => done({ code, out })));
    ended.then(() => process.off('exit', kill));
    return started ? { child, ended } : ended;
  };
}

/** Half of the bytes in small files of 10 KB, half in four large ones; and what else there is between files. */
export async function plant(root, bytes) {
  const small = Math.max(1, Math.round(bytes / 20_480));
  const block = Buffer.alloc(1 << 20);
  for (let nth = 0; nth < small; nth += 1) {
    const dir = join(root, `s${nth % 97}`, `d${nth % 11}`);
    if (nth < 97 * 11) await mkdir(dir, { recursive: true });
    const part = randomFillSync(block, 0, 10_240);
    await writeFile(join(dir, `f${nth}`), part.subarray(0, nth % 50 === 0 ? nth % 300 : 10_240), { mode: nth % 3 ? 0o644 : 0o600 });
  }
  for (let nth = 0; nth < 4; nth += 1) {
    const file = await open(join(root, `large${nth}`), 'w', 0o640);
    for (let left = Math.floor(bytes / 8); left > 0; left -= block.length) {
      await file.write(randomFillSync(block), 0, Math.min(left, block.length));
    }
    await file.close();
  }
  await mkdir(join(root, 'odd', 'empty'), { recursive: true });
  await writeFile(join(root, 'odd', 'with\nbreak, späce and ü'), 'x');
  await writeFile(join(root, 'odd', 'program'), '#!/bin/sh\n');
  await chmod(join(root, 'odd', 'program'), 0o755);
  await writeFile(join(root, 'odd', 'closed'), 'nobody writes this');
  await chmod(join(root, 'odd', 'closed'), 0o400);
  await chmod(join(root, 'odd', 'empty'), 0o1777);
  await link(join(root, 'odd', 'program'), join(root, 'odd', 'same program'));
  await symlink('program', join(root, 'odd', 'link'));
  await symlink('/nowhere/at all', join(root, 'odd', 'broken link'));
  await utimes(join(root, 'odd', 'closed'), 1_000_000_000, 1_000_000_000);
}

/** Everything that must come back, one line for each entry. */
export async function survey(root) {
  const lines = [];
  const inodes = new Map();
  const look = async (path) => {
    const its = await lstat(join(root, path), { bigint: true });
    const mode = (its.mode & 0o177777n).toString(8);
    const line = [JSON.stringify(path), mode, its.uid, its.gid];
    if (its.isDirectory()) {
      for (const name of (await readdir(join(root, path))).sort()) await look(join(path, name));
    } else if (its.isSymbolicLink()) {
      line.push(await readlink(join(root, path)));
    } else {
      line.push(its.size, its.mtimeNs, await digest(join(root, path), its.size));
      if (its.nlink > 1n) {
        if (!inodes.has(its.ino)) inodes.set(its.ino, path);
        line.push(`links to ${inodes.get(its.ino)}`);
      }
    }
    lines.push(line.join(' '));
  };
  await look('');
  return lines.sort();
}

async function digest(path, size) {
  const hash = createHash('sha256');
  if (size < 1_000_000n) return hash.update(await readFile(path)).digest('hex');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** MiB that the workerd processes below this one have in memory together. */
export async function workerdMib() {
  const stats = [];
  for (const pid of (await readdir('/proc')).filter((it) => /^\d+$/.test(it))) {
    try {
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      const field = (name) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1];
      stats.push({ pid, parent: field('PPid'), name: field('Name'), kib: Number(field('VmRSS') ?? 0) });
    } catch {
      // It has ended meanwhile.
    }
  }
  const ours = new Set([String(process.pid)]);
  for (let before = 0; before !== ours.size; ) {
    before = ours.size;
    for (const it of stats) if (ours.has(it.parent)) ours.add(it.pid);
  }
  const found = stats.filter((it) => ours.has(it.pid) && it.name.startsWith('workerd'));
  return found.reduce((sum, it) => sum + it.kib, 0) / 1024;
}

// The lab's images, built once by build.sh and kept in .cache/vm-lab until something that they are made of changes: the
// guests' roots, and the container image that stands for the default devcontainer's. Who boots them is lab/.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir, root } from '../../run/prepare.mjs';
import { unpackDeb } from '../debs.mjs';
import { testCa } from './ca.mjs';

const BUILD = fileURLToPath(new URL('build.sh', import.meta.url));
const TTYD_PACKAGES = ['ttyd', 'libwebsockets-evlib-uv', 'libwebsockets19t64', 'libuv1t64', 'libjson-c5', 'libcap2'];
/** By what name a VM asks for the default image (cloud-init/workspace/versions). */
const IMAGE_NAME = 'devcontainers/base';

/**
 * A guest's root, built if it is not there yet.
 * @param {{say: (text: string) => void, warm?: boolean}} options
 * @returns {Promise<{root: string, containerLayout: string}>} directories; an error with code CANNOT if it is not to be had here
 */
export async function guestImage({ say, warm = false }) {
  if (process.getuid?.() !== 0) throw Object.assign(new Error('images take root'), { code: 'CANNOT' });
  const plain = await built('plain', { say });
  const containerLayout = await layout({ say });
  return { root: warm ? await built('warm', { say, plain }) : plain, containerLayout };
}

/** Everything that a change of makes the images old. */
function stamp(kind) {
  const hash = createHash('sha256').update(kind);
  for (const file of [BUILD, join(root, 'cloud-init/workspace/versions')]) hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}

async function built(kind, { say, plain = '' }) {
  const top = join(cacheDir(), 'vm-lab');
  const dir = join(top, kind);
  const mark = join(top, `${kind}.stamp`);
  const wanted = stamp(kind);
  if (existsSync(dir) && existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return dir;
  say(`building the lab's ${kind} image (minutes, once)`);
  rmSync(mark, { force: true });
  const ttyd = join(top, 'ttyd');
  if (kind === 'plain') {
    rmSync(ttyd, { recursive: true, force: true });
    mkdirSync(ttyd, { recursive: true });
    for (const name of TTYD_PACKAGES) await unpackDeb({ suite: 'sid', name, to: ttyd });
  }
  const env = { ...process.env, MAYFLY_LAB_CA: (await testCa()).cert, MAYFLY_LAB_PLAIN: plain, MAYFLY_LAB_TTYD: ttyd };
  // npm as the machine has it, not as the script that started us was told to.
  for (const key of Object.keys(env)) if (key.startsWith('npm_')) delete env[key];
  await new Promise((done, failed) => {
    const child = spawn('bash', [BUILD, kind, dir], { env, stdio: ['ignore', 2, 2] });
    child.on('error', failed);
    child.on('exit', (code) => (code === 0 ? done() : failed(new Error(`the lab's ${kind} image could not be built`))));
  });
  writeFileSync(mark, wanted);
  return dir;
}

/** The container image as a registry keeps it: blobs by digest, and what each name is. */
async function layout({ say }) {
  const dir = join(cacheDir(), 'vm-lab', 'registry');
  const mark = join(dir, 'stamp');
  const wanted = stamp('container');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return dir;
  const tree = await built('container', { say });
  const part = `${dir}.new`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(join(part, 'blobs'), { recursive: true });
  const tar = join(part, 'layer.tar');
  must('tar', ['--numeric-owner', '--sort=name', '--mtime=@0', '-C', tree, '-cf', tar, '.']);
  const diff = digestOfFile(tar);
  must('gzip', ['-n', '-1', tar]);
  const layer = addBlob(part, `${tar}.gz`);
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8'],
      Cmd: ['bash'],
      // As the real one says it: who works in it.
      Labels: { 'devcontainer.metadata': JSON.stringify([{ remoteUser: 'vscode' }]) },
    },
    rootfs: { type: 'layers', diff_ids: [diff] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'lab' }],
  };
  const configBlob = addText(part, JSON.stringify(config));
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: { mediaType: 'application/vnd.docker.container.image.v1+json', ...configBlob },
    layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', ...layer }],
  });
  writeFileSync(join(part, 'names.json'), JSON.stringify({ [IMAGE_NAME]: addText(part, manifest) }));
  writeFileSync(join(part, 'stamp'), wanted);
  rmSync(dir, { recursive: true, force: true });
  renameSync(part, dir);
  return dir;
}

function addText(dir, text) {
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  writeFileSync(join(dir, 'blobs', digest), text);
  return { size: Buffer.byteLength(text), digest };
}

function addBlob(dir, file) {
  const digest = digestOfFile(file);
  renameSync(file, join(dir, 'blobs', digest));
  return { size: statSync(join(dir, 'blobs', digest)).size, digest };
}

function digestOfFile(file) {
  return `sha256:${must('sha256sum', [file]).split(' ')[0].replace(/^\\/, '')}`;
}

function must(command, args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command}: ${done.stderr || done.error}`);
  return done.stdout;
}

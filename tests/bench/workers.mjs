// The three Workers of the bench as processes: bundled as wrangler would, each in a plain workerd with the same
// configuration; and what such a process has used so far. What is asked of them is run.mjs's business.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { bin, cacheDir, root } from '../run/prepare.mjs';
import { startProcess } from '../run/processes.mjs';

const ORIGIN = 'https://mayfly.pages.dev';
/** Linux counts CPU time in these. */
const TICKS_PER_SEC = 100;

/** Tokens by owner: `fifty` and `many` have servers, `none` has none, the provider refuses `refused`. */
export const TOKENS = Object.fromEntries(
  ['fifty', 'many', 'none', 'refused'].map((owner) => [owner, `bench-token-of-${owner}`]),
);

/** A module bundled as wrangler would, in a file. */
export function script(name, entry, ...more) {
  const dir = join(cacheDir(), 'bench');
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${name}.js`);
  const options = ['--bundle', '--format=esm', '--target=es2024', '--log-level=warning', ...more];
  execFileSync(join(bin, 'esbuild'), [entry, ...options, `--outfile=${file}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  return file;
}

/** A Worker of these modules: the first is its entry. */
export function make(name, title, ...files) {
  const modules = files.map((file) => ({ name: basename(file), bytes: readFileSync(file) }));
  const all = Buffer.concat(modules.map((it) => it.bytes));
  return { name, title, modules, raw: all.length, gzip: gzipSync(all, { level: 9 }).length };
}

/** Ours, the peer and the control: name, modules, bytes of what would be deployed. */
export function bundles() {
  const built = join(root, 'build');
  const here = join(root, 'tests/bench');
  return [
    make(
      'ours',
      'Mayfly',
      script('ours', join(built, 'worker.js'), '--external:./index_bg.wasm'),
      join(built, 'index_bg.wasm'),
    ),
    make('peer', 'Hono', script('peer', join(here, 'peer/worker.js'), '--minify')),
    make('control', 'bare fetch', script('control', join(here, 'control/worker.js'))),
  ];
}

/** Starts one of them. The configuration is the same for all; some keys are for none but one. */
export async function startWorker({ name, modules, bindings: more = {} }, providerPort) {
  const port = await freePort();
  const digests = Object.entries(TOKENS).map(([owner, token]) => [owner, createHash('sha256').update(token).digest('hex')]);
  const bindings = {
    API_TOKENS: JSON.stringify(Object.fromEntries(digests)),
    SIGNING_KEY: 'k1:bench-bench-bench-bench-bench-bench-bench',
    ALLOWED_ORIGINS: `${ORIGIN},https://*.mayfly.pages.dev`,
    HETZNER_TOKEN: 'bench-provider-token',
    HETZNER_API_URL: `http://127.0.0.1:${providerPort}/v1`,
    ...more,
  };
  const text = JSON.stringify;
  const compatibility = /^compatibility_date = "(.*)"$/m.exec(readFileSync(join(root, 'wrangler.toml'), 'utf8'))[1];
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  modules = [${modules.map((it) => `(name = ${text(it.name)}, ${kindOf(it)} = embed ${text(it.name)})`).join(', ')}],
  bindings = [${Object.entries(bindings).map(([key, value]) => `(name = "${key}", text = ${text(value)})`).join(', ')}],
  compatibilityDate = "${compatibility}",
);
`;
  const dir = join(cacheDir(), 'bench', name);
  mkdirSync(dir, { recursive: true });
  for (const { name, bytes } of modules) writeFileSync(join(dir, name), bytes);
  const file = join(dir, 'config.capnp');
  writeFileSync(file, config);
  const workerd = createRequire(join(root, 'package.json'))('workerd').default;
  const child = startProcess(workerd, ['serve', file]);
  return { port, child, cpuSeconds: () => cpuSeconds(child.pid) };
}

function kindOf({ name }) {
  return name.endsWith('.wasm') ? 'wasm' : 'esModule';
}

/** User and system time of a process; null where there is no /proc. */
function cpuSeconds(pid) {
  if (process.platform !== 'linux') return null;
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name in parentheses may hold spaces; utime and stime are the 14th and 15th field of all.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SEC;
}

function freePort() {
  return new Promise((done, failed) => {
    const server = createServer().on('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

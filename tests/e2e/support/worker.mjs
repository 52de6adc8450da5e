// The Worker for a test, in the real runtime with the real wrangler.toml, page included. Its configuration is the
// caller's; what stands behind it (a fake cloud, a server of the test's own) is started elsewhere.
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { validateAnswer } from '../openapi-check.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const QUIET = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};
export const API_TOKEN = 'a-token-for-tests-only';
export const SIGNING_KEY = 'test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE';
const BUCKET = '\n[[r2_buckets]]\nbinding = "BACKUPS"\nbucket_name = "mayfly-backups"\n';

/**
 * Starts a Worker of its own for the caller.
 * @param {{vars?: object, entry?: string, bucket?: boolean}} options `vars` besides API_TOKEN and SIGNING_KEY; `entry`:
 *   source of a module to run instead of build/worker.js, which it finds at `../worker.js`; `bucket`: an empty one for backups.
 */
export async function startWorker({ vars = {}, entry, bucket = false } = {}) {
  Object.assign(process.env, QUIET);
  const { unstable_startWorker: start } = await import('wrangler');
  await mkdir(join(ROOT, 'build'), { recursive: true });
  const dir = await mkdtemp(join(ROOT, 'build/e2e-'));
  const main = entry === undefined ? '../worker.js' : 'entry.js';
  if (entry !== undefined) await writeFile(join(dir, main), entry);
  await writeFile(join(dir, 'wrangler.toml'), `${await config(main)}${bucket ? BUCKET : ''}`);
  const given = Object.entries({ API_TOKEN, SIGNING_KEY, ...vars }).filter(([, value]) => value !== undefined);
  const lines = [];
  // Not wrangler's createTestHarness: it sends the Worker's requests through Node, which follows redirects.
  const running = await start({
    config: join(dir, 'wrangler.toml'),
    bindings: Object.fromEntries(given.map(([name, value]) => [name, { type: 'secret_text', value }])),
    dev: {
      server: { hostname: '127.0.0.1', port: 0 },
      logLevel: 'none',
      watch: false,
      persist: false,
      inspector: false,
      registry: undefined,
      structuredLogsHandler: (line) => lines.push(line),
    },
  });
  const close = async () => {
    await running.dispose();
    await rm(dir, { recursive: true, force: true });
  };
  const url = await running.ready.then(() => running.url).catch(async (error) => {
    await close();
    throw error;
  });

  return {
    /** Without a slash at the end. */
    url: url.origin,
    token: API_TOKEN,
    /** A request as it is, over HTTP. */
    fetch: (path, init) => fetch(new URL(path, url), init),
    /**
     * A request with the token, and a JSON body if one is given; resolves to status, headers and parsed body. Fails if
     * openapi.json does not allow the answer.
     */
    async api(method, path, body, { token = API_TOKEN, headers = {} } = {}) {
      const all = { ...headers };
      if (token) all.authorization = `Bearer ${token}`;
      if (body !== undefined) all['content-type'] ??= 'application/json';
      const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
      const response = await fetch(new URL(path, url), { method, headers: all, body: text });
      const answer = await response.text();
      const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
      // Every answer of every test is held against the document, but for a Worker that panicked: that is the edge's.
      if (response.status !== 500) validateAnswer(method, new URL(path, url).pathname, response.status, response.headers, answer);
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(answer) : answer };
    },
    /** Fires the cron trigger; resolves, when the Worker is done, to its outcome: `ok` or `exception`. */
    cron: async () => (await fetch(new URL('/cdn-cgi/handler/scheduled', url))).text(),
    /** What the Worker wrote to its log. */
    logs: () => lines,
    close,
  };
}

/** The real configuration with the page beside it, and without the build: that has been done once before the tests. */
async function config(main) {
  const text = await readFile(join(ROOT, 'wrangler.toml'), 'utf8');
  const changed = text.replace(/^main = .*$/m, `main = "${main}"`).replace(/^\[build\]\n(?:[^[\n].*\n|\n)*/m, '');
  if (!changed.includes(`main = "${main}"`) || changed.includes('[build]')) throw new Error('wrangler.toml looks different');
  return `${changed}\n[assets]\ndirectory = ${JSON.stringify(resolve(ROOT, 'pages'))}\n`;
}

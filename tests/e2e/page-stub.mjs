/**
 * A small API and page server in memory for the page's edge cases: failing providers, revoked tokens, hostile
 * names, slow answers. Serves pages/ with the headers of pages/_headers. It decides nothing about the real
 * API, which has its own tests; the story against the real Worker is told elsewhere.
 */

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGES = fileURLToPath(new URL('../../pages/', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../src/api/openapi.json', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };

/** The headers that Cloudflare Pages would send with every file: those of the rule that comes first. */
export async function pageHeaders() {
  const lines = (await readFile(join(PAGES, '_headers'), 'utf8')).split('\n\n')[0].split('\n');
  const pairs = lines.filter((line) => /^\s+\S/.test(line)).map((line) => line.trim().split(/:\s+(.*)/s));
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
}

const size = (name, server_type, vcpu, memory_gib, disk_gb, price) => ({
  size: name, server_type, vcpu, memory_gib, disk_gb, location: 'fsn1', price_per_hour: price,
  scenarios: { hours_4_days_20: price * 80, hours_8_days_20: price * 160, always_on: price * 622 },
  offers: [{ server_type, location: 'fsn1', price_per_hour: price }, ...(name === 'large' ? [] : [{ server_type, location: 'hel1', price_per_hour: price * 1.2 }])],
});

export function someOptions() {
  return {
    deployment: 'mayfly', owner: 'default', admin: false, simulation: null,
    providers: [{
      name: 'hetzner', title: 'Hetzner Cloud', currency: 'EUR', firewall: true, images: ['debian-13', 'ubuntu-24.04'],
      locations: [{ name: 'fsn1', city: 'Falkenstein', country: 'DE' }, { name: 'hel1', city: 'Helsinki', country: 'FI' }],
      sizes: [size('small', 'cx23', 2, 4, 40, 0.0105), size('medium', 'cx33', 4, 8, 80, 0.0128), size('large', 'cx43', 8, 16, 160, 0.0232)],
    }],
    errors: [], profiles: [{ name: 'coding', title: 'Coding' }],
    web_uis: [{ name: 'cloudcli', title: 'CloudCLI' }, { name: 'ttyd', title: 'Terminal' }, { name: 'code-server', title: 'VS Code in the browser' }],
    defaults: { provider: 'hetzner', size: 'medium', location: null, profile: 'coding', web_ui: 'cloudcli', image: 'debian-13', idle_minutes: 30, max_hours: 12 },
    limits: { max_hours: 168, idle_minutes_min: 5 }, backups: 'r2',
    configured: { anthropic_api_key: true, claude_code_oauth_token: false, git_token: false, ssh_public_key: true },
  };
}

/** @param {object} changes @param {number} ageSeconds */
export function someVm(changes = {}, ageSeconds = 4000) {
  const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
  const id = changes.id ?? 'hetzner-4711';
  return {
    id, name: 'mayfly-atlas-k3f9', provider: 'hetzner', location: 'fsn1', server_type: 'cx33', size: 'medium', profile: 'coding', web_ui: 'cloudcli',
    repo_url: 'https://github.com/riverside/atlas', branch: null, owner: 'default', market: 'on-demand', state: 'running', phase: 'ready', services_ready: true, attention: null,
    created_at: at(-ageSeconds), age_seconds: ageSeconds, ipv4: '203.0.113.7', ipv6: '2001:db8::1',
    cost: { currency: 'EUR', per_hour: 0.0128, so_far: 0.0256, until_idle: 0.0256, until_expiry: 0.1536 },
    idle: {
      limit_minutes: 30, active_at: at(-200), deadline: at(1600),
      verdict: [{ signal: 'agent', age_minutes: 3 }, { signal: 'transcript', age_minutes: 4 }, { signal: 'files', age_minutes: 12 }, { signal: 'connection', age_minutes: 44 }, { signal: 'ssh', age_minutes: null }],
    },
    expires_at: at(12 * 3600 - ageSeconds), last_seen_at: at(-40),
    boot: { phases: [{ phase: 'booting', seconds: 21 }, { phase: 'docker', seconds: 18 }, { phase: 'clone', seconds: 3 }, { phase: 'devcontainer', seconds: 44 }, { phase: 'ui', seconds: 9 }], reason: null },
    urls: { web_ui: 'https://203.0.113.7/', terminal: 'https://203.0.113.7/terminal/', status: 'https://203.0.113.7/_mayfly/status' },
    ssh: { command: 'ssh root@203.0.113.7', host_key: 'SHA256:4hJm1rXQ2v0P9pWq3kTzYb7dN8cE5fLsAuGi6oRxKtw' },
    ...changes,
  };
}

/** A VM that has just been made. */
export function newVm(changes = {}, ageSeconds = 0) {
  return someVm({
    state: 'creating', phase: 'booting', services_ready: false, last_seen_at: null, urls: {}, ssh: null, ipv4: null, ipv6: null,
    boot: { phases: [], reason: null }, idle: { limit_minutes: 30, active_at: null, deadline: new Date(Date.now() + 1_800_000).toISOString(), verdict: [] },
    cost: { currency: 'EUR', per_hour: 0.0128, so_far: 0.0128, until_idle: 0.0128, until_expiry: 0.1536 }, ...changes,
  }, ageSeconds);
}

export const someSnapshot = (changes = {}) => ({
  id: 'hetzner-71', provider: 'hetzner', owner: 'default', description: 'with the database filled', created_at: new Date(Date.now() - 7_200_000).toISOString(), age_seconds: 7200,
  size_gb: 2.3, min_disk_gb: 40, is_ready: true, is_clean: true, profile: 'coding', repo_url: 'https://github.com/riverside/atlas',
  expires_at: new Date(Date.now() + 29 * 86_400_000).toISOString(), locations: [], ...changes,
});

export const problem = (status, code, detail, more = {}) => ({ status, body: { type: 'about:blank', title: code, status, code, detail, request_id: 'req-1', ...more } });

/**
 * @typedef {{method: string, path: string, body: any, headers: Record<string, string>}} Seen
 * Tests change the public fields: `vms`, `options`, `errors`, `token`, `delayMs`, and `answers`, which maps
 * "METHOD /path" to a function that answers in the stub's place.
 */
export async function startStub({ allowOrigin = null, port = 0 } = {}) {
  const headers = await pageHeaders();
  const stub = {
    token: 'stub-token-not-a-secret', vms: [], errors: [], options: someOptions(), healthz: { status: 'ok', version: '0.1.0', simulation: false, access: false },
    delayMs: 0, answers: new Map(), /** @type {Seen[]} */ seen: [], created: new Map(), snapshots: [], workspaces: [], orphans: [], document: await readFile(DOCUMENT, 'utf8'), openUrl: null, url: '', stop: null, pageHits: [],
  };

  const listing = () => {
    const sum = (key) => stub.vms.reduce((total, vm) => total + (vm.cost?.[key] ?? 0), 0);
    return {
      vms: stub.vms.map((vm) => ({ ...vm, age_seconds: Math.floor((Date.now() - Date.parse(vm.created_at)) / 1000) })), errors: stub.errors,
      totals: { count: stub.vms.length, currency: stub.vms.length ? 'EUR' : null, price_per_hour: sum('per_hour'), cost_so_far: sum('so_far'), cost_until_expiry: sum('until_expiry') },
    };
  };

  const api = (seen) => {
    const own = stub.answers.get(`${seen.method} ${seen.path}`);
    if (own) return own(seen);
    if (seen.path === '/openapi.json') return { status: 200, body: stub.document };
    if (seen.path === '/healthz') return { status: 200, body: stub.healthz };
    // Access knows its own by a cookie, and lets nobody else through.
    const isKnown = stub.healthz.access && !seen.headers.authorization ? /CF_Authorization=good/.test(seen.headers.cookie ?? '') : seen.headers.authorization === `Bearer ${stub.token}`;
    if (!isKnown) return problem(401, 'unauthorized', 'The token is missing or wrong.');
    if (seen.path === '/options') return { status: 200, body: stub.options };
    if (seen.path === '/seal') return { status: 200, body: { sealed: `mfs1.k1.${Buffer.from(`nonce${seen.body.secret.length}`).toString('base64url')}${'x'.repeat(40)}` } };
    if (seen.path === '/vms' && seen.method === 'GET') return { status: 200, body: listing() };
    if (seen.path === '/vms' && seen.method === 'POST') return create(seen);
    if (seen.path === '/vms' && seen.method === 'DELETE') return removeAll();
    if (seen.path === '/snapshots') return { status: 200, body: { snapshots: stub.snapshots, errors: [] } };
    if (seen.path.startsWith('/snapshots/')) {
      stub.snapshots = stub.snapshots.filter((one) => `/snapshots/${one.id}` !== seen.path);
      return { status: 200, body: { deleted: true, already_gone: false, id: seen.path.slice(11) } };
    }
    if (seen.path === '/workspaces') return { status: 200, body: { workspaces: stub.workspaces, size_bytes: 0 } };
    if (seen.path === '/orphans') return { status: 200, body: { orphans: stub.orphans, errors: [] } };
    if (seen.path === '/reap') return { status: 200, body: { dry_run: false, reaped: stub.orphans.splice(0), failed: [], of_others: 0 } };
    const [, id, action] = /^\/vms\/([^/]+)(?:\/(\w+))?$/.exec(seen.path) ?? [];
    const vm = stub.vms.find((one) => one.id === decodeURIComponent(id ?? ''));
    if (seen.method === 'DELETE' && !action) {
      stub.vms = stub.vms.filter((one) => one !== vm);
      return { status: 200, body: { deleted: true, id } };
    }
    if (!vm) return problem(404, 'not_found', 'There is no such workspace.');
    if (seen.method === 'POST' && action === 'open') return { status: 200, body: { url: stub.openUrl ?? `${stub.url}/door#one-time-token`, expires_in_seconds: 60 } };
    const acted = (status, change, detail) => {
      Object.assign(vm, change);
      return { status, body: { vm, detail } };
    };
    const later = (minutes) => new Date(Date.parse(vm.expires_at) + minutes * 60_000).toISOString();
    if (action === 'stop' && vm.market === 'spot') return problem(409, 'not_possible', 'A spot VM cannot be stopped.');
    if (action === 'stop') return acted(202, { want: 'stop' }, 'The VM saves its work first.');
    if (action === 'start') return acted(202, { state: 'running', phase: 'booting', want: null }, 'The VM starts, for 12 hours at the most.');
    if (action === 'snapshots') return acted(202, { want: 'snapshot' }, 'The VM writes everything to its disk first.');
    if (action === 'extend') return acted(200, { expires_at: later(seen.body.minutes), want: 'keep' }, 'It ends later.');
    return problem(404, 'not_found', 'No such route.');
  };

  /** At most twenty per call, as the API does it. */
  const removeAll = () => {
    const deleted = [...stub.vms.splice(0, 20).map((vm) => ({ kind: 'vm', id: vm.id, name: vm.name }))];
    if (stub.vms.length === 0) deleted.push(...stub.snapshots.splice(0).map((one) => ({ kind: 'snapshot', id: one.id, name: one.description })));
    return { status: 200, body: { deleted, failed: [], remaining: stub.vms.length, detail: 'Done.' } };
  };

  const create = (seen) => {
    const key = seen.headers['idempotency-key'];
    const before = stub.created.get(key);
    if (before) return { status: 200, body: before };
    const vm = newVm({ id: `hetzner-${5000 + stub.created.size}`, name: 'mayfly-' + seen.body.repo_url.split('/').pop() + '-ab12', repo_url: seen.body.repo_url, branch: seen.body.branch ?? null });
    stub.vms = [vm, ...stub.vms];
    const body = { vm, password: 'brisk-otter-2417-lamp', attempts: [{ server_type: 'cx33', location: 'fsn1', outcome: 'created' }], warnings: [] };
    stub.created.set(key, body);
    return { status: 201, body };
  };

  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://stub').pathname;
    const isApi = /^\/(healthz|options|vms|snapshots|workspaces|orphans|reap|seal|openapi\.json)(\/|$)/.test(path);
    if (!isApi) return servePage(path, response, headers, stub);
    const cors = allowOrigin && request.headers.origin === allowOrigin()
      ? { 'access-control-allow-origin': request.headers.origin, 'access-control-allow-headers': 'authorization, content-type, idempotency-key', 'access-control-allow-methods': 'GET, POST, DELETE', ...(stub.healthz.access && { 'access-control-allow-credentials': 'true' }) }
      : {};
    if (request.method === 'OPTIONS') return void response.writeHead(204, cors).end();
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const seen = { method: request.method, path, body: text ? JSON.parse(text) : null, headers: request.headers };
    stub.seen.push(seen);
    if (stub.delayMs) await new Promise((resolve) => setTimeout(resolve, stub.delayMs));
    const answer = await api(seen);
    if (answer === 'drop') return void request.socket.destroy();
    const type = answer.status < 400 ? 'application/json' : 'application/problem+json';
    response.writeHead(answer.status, { 'content-type': type, ...cors }).end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body));
  });

  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  stub.url = `http://127.0.0.1:${server.address().port}`;
  stub.stop = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return stub;
}

async function servePage(path, response, headers, stub) {
  if (path === '/door') return void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>The door</title><p>Signed in.');
  const file = normalize(join(PAGES, path === '/' ? 'index.html' : path));
  try {
    if (!file.startsWith(PAGES) || file.endsWith('_headers')) throw new Error('outside');
    const body = await readFile(file);
    stub.pageHits.push(path);
    response.writeHead(200, { ...headers, 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
  } catch {
    response.writeHead(404, headers).end();
  }
}

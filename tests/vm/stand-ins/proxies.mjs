// The package registries, as guests without a way out see them: unix sockets outside of the lab's namespaces, which fetch
// from the registries that this machine itself is told to use, and keep what never changes. They talk to no other host.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cacheDir } from '../../run/prepare.mjs';
import { aptUris } from '../debs.mjs';

/**
 * Starts all three.
 * @param {{dir: string}} options `dir`: where the sockets go
 * @returns {Promise<{apt: string, npm: string, pypi: string, hosts: {npm: string, pypi: string, files: string}, stop: Function}>}
 *   paths of the sockets; `hosts`: whom a machine without settings of its own asks for packages, and for Python's files
 */
export async function startProxies({ dir }) {
  const cache = join(cacheDir(), 'vm-lab', 'cache');
  mkdirSync(cache, { recursive: true });
  const known = defaults();
  const npm = output('npm', ['config', 'get', 'registry']).replace(/\/?$/, '/');
  const pypi = (output('pip', ['config', 'get', 'global.index-url']) || known.index).replace(/\/?$/, '/');
  const { hosts } = known;
  const servers = { apt: apt(cache), npm: npmRegistry(cache, npm, hosts.npm), pypi: pythonIndex(cache, pypi, hosts.files) };
  const paths = { hosts };
  for (const [name, server] of Object.entries(servers)) {
    paths[name] = join(dir, `${name}.sock`);
    await new Promise((done, failed) => server.once('error', failed).listen(paths[name], done));
  }
  return { ...paths, stop: () => Object.values(servers).forEach((it) => it.close() && it.closeAllConnections()) };
}

/** What npm and pip ask when nobody has told them otherwise. */
function defaults() {
  const env = { PATH: process.env.PATH, HOME: '/nonexistent' };
  const npm = output('npm', ['config', 'get', 'registry', '--userconfig=/nonexistent', '--globalconfig=/nonexistent/either'], env);
  const pip = 'from pip._internal.models.index import PyPI; print(PyPI.simple_url, PyPI.file_storage_domain)';
  const [index, files] = output('python3', ['-c', pip], env).split(' ');
  return { index, hosts: { npm: new URL(npm).host, pypi: new URL(index).host, files } };
}

/** Distribution packages, by the hosts of this machine's own sources. */
function apt(cache) {
  const hosts = new Map(aptUris().map((it) => [new URL(it).host, new URL(it).protocol]));
  return serve(async (request, response) => {
    const protocol = hosts.get(request.headers.host);
    if (!protocol) return response.writeHead(403).end('not one of this machine’s mirrors\n');
    const url = `${protocol}//${request.headers.host}${request.url}`;
    return relay(url, request, response, /\.deb$|\/by-hash\//.test(request.url) && cache);
  });
}

/** Documents name their files by the registry's own name: they lead back here. */
function npmRegistry(cache, registry, host) {
  return serve(async (request, response) => {
    const url = registry + request.url.slice(1);
    if (/\/-\/.*\.tgz$/.test(request.url)) return relay(url, request, response, cache);
    return relay(url, request, response, false, (text) => text.replaceAll(registry, `https://${host}/`));
  });
}

function pythonIndex(cache, index, host) {
  const files = new Map();
  return serve(async (request, response) => {
    const known = files.get(request.url.split('#')[0]);
    if (known) return relay(known, request, response, cache);
    const page = /^\/simple\/(.*)$/.exec(request.url)?.[1];
    if (page === undefined) return response.writeHead(404).end();
    const base = index + page;
    return relay(base, request, response, false, (text) => text.replace(/(href="|"url": ?")([^"#]+)/g, (_, before, link) => {
      const real = new URL(link, base).href;
      const path = `/packages/${createHash('sha256').update(real).digest('hex')}/${new URL(real).pathname.split('/').at(-1)}`;
      files.set(path, real);
      return `${before}https://${host}${path}`;
    }));
  });
}

function serve(handler) {
  return http.createServer((request, response) => {
    handler(request, response).catch((error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end(`${error.message}\n`);
    });
  });
}

const PASSED_ON = ['accept', 'user-agent', 'if-modified-since', 'if-none-match', 'content-type', 'npm-command'];
const PASSED_BACK = ['content-type', 'last-modified', 'etag', 'content-length', 'cache-control'];

/** One request onward; `cache`: the folder if its answer never changes, `rewrite`: for documents. */
async function relay(url, request, response, cache, rewrite) {
  const file = cache && join(cache, createHash('sha256').update(url).digest('hex'));
  if (file && existsSync(file)) {
    response.writeHead(200, { 'content-length': statSync(file).size });
    return request.method === 'HEAD' ? response.end() : pipeline(createReadStream(file), response);
  }
  const answer = await send(url, request, rewrite);
  const headers = Object.fromEntries(PASSED_BACK.filter((it) => answer.headers[it]).map((it) => [it, answer.headers[it]]));
  if (rewrite && answer.statusCode === 200 && request.method === 'GET') {
    const chunks = [];
    for await (const chunk of answer) chunks.push(chunk);
    const body = Buffer.from(rewrite(Buffer.concat(chunks).toString()));
    return response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
  }
  if (!file || answer.statusCode !== 200 || request.method !== 'GET') {
    response.writeHead(answer.statusCode, headers);
    return pipeline(answer, response);
  }
  // Kept only when it came whole.
  const part = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    await pipeline(answer, createWriteStream(part));
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
  renameSync(part, file);
  response.writeHead(200, { ...headers, 'content-length': statSync(file).size });
  return pipeline(createReadStream(file), response);
}

async function send(url, request, plain, hops = 3) {
  const headers = Object.fromEntries(PASSED_ON.filter((it) => request.headers[it]).map((it) => [it, request.headers[it]]));
  const body = request.method === 'POST' ? await bytes(request) : undefined;
  if (body) headers['content-length'] = body.length;
  // A document is rewritten as text.
  if (plain) headers['accept-encoding'] = 'identity';
  const answer = await new Promise((done, failed) => {
    const client = url.startsWith('https:') ? https : http;
    client.request(url, { method: request.method, headers }, done).on('error', failed).end(body);
  });
  if (hops > 0 && answer.headers.location && answer.statusCode >= 300 && answer.statusCode < 400 && answer.statusCode !== 304) {
    answer.resume();
    return send(new URL(answer.headers.location, url).href, request, plain, hops - 1);
  }
  return answer;
}

async function bytes(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function output(command, args, env = process.env) {
  return spawnSync(command, args, { encoding: 'utf8', env }).stdout?.trim() ?? '';
}

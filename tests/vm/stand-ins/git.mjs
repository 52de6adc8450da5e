// A Git host: real repositories behind `git http-backend`, private ones by a token, LFS, redirects. TLS and names are put
// in front by lab/front.mjs. What is in the repositories, each scenario says.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const WHO = ['-c', 'user.name=lab', '-c', 'user.email=lab@mayfly.test', '-c', 'commit.gpgsign=false', '-c', 'protocol.file.allow=always'];

/**
 * Starts it on the loopback address.
 * @param {{port: number, dir: string}} options `dir`: where its repositories go
 */
export async function startGit({ port, dir }) {
  const repos = new Map();
  const redirects = new Map();
  const requests = [];
  const objects = join(dir, 'lfs');
  mkdirSync(objects, { recursive: true });

  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://lab');
    const [, name, rest = ''] = /^\/([^/]+?)(?:\.git)?(\/.*)?$/.exec(url.pathname) ?? [];
    const repo = repos.get(name);
    const entry = { host: request.headers.host, method: request.method, path: request.url, token: tokenOf(request) ? 'wrong' : null };
    requests.push(entry);
    if (repo?.token && tokenOf(request) === repo.token) entry.token = 'right';
    if (redirects.has(name)) return response.writeHead(302, { location: `${redirects.get(name)}${rest}${url.search}` }).end();
    if (!repo) return response.writeHead(404).end('Repository not found.\n');
    if (repo.token && entry.token !== 'right') {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="lab"' }).end('HTTP Basic: Access denied\n');
    }
    if (rest.startsWith('/info/lfs/')) return lfs(objects, request, response, name, rest);
    return backend(dir, repo, rest, url.search, request, response);
  });
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));

  return {
    /** Every request: whether a token came, and whether it was this repository's; never the token. */
    requests,
    url: (name, host = 'git.test') => `https://${host}/${name}`,
    redirect: (name, to) => redirects.set(name, to),
    /**
     * Makes a repository with one commit on `main`.
     * @param {string} name
     * @param {{files?: Record<string, string>, branches?: Record<string, Record<string, string>>, token?: string,
     *   lfs?: Record<string, string>, submodules?: Record<string, string>}} content `token`: private; `lfs`: files kept as
     *   LFS objects; `submodules`: path → URL as .gitmodules says it, its commit the tip of the repository of that name
     */
    addRepo(name, { files = {}, branches = {}, token, lfs: large = {}, submodules = {} } = {}) {
      const bare = join(dir, `${name}.git`);
      const work = mkdtempSync(join(tmpdir(), 'lab-git-'));
      const git = (...args) => execFileSync('git', [...WHO, ...args], { cwd: work, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
      try {
        git('init', '-q', '-b', 'main');
        for (const [path, text] of Object.entries(files)) put(work, path, text);
        if (Object.keys(large).length > 0) put(work, '.gitattributes', `${Object.keys(large).map((it) => `${it} filter=lfs diff=lfs merge=lfs -text`).join('\n')}\n`);
        for (const [path, text] of Object.entries(large)) {
          const oid = createHash('sha256').update(text).digest('hex');
          writeFileSync(join(objects, oid), text);
          put(work, path, `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${Buffer.byteLength(text)}\n`);
        }
        git('-c', 'filter.lfs.clean=cat', '-c', 'filter.lfs.required=false', '-c', 'filter.lfs.process=', 'add', '-A');
        for (const [path, url] of Object.entries(submodules)) {
          const of = new URL(url, 'https://git.test').pathname.replace(/^\/|\.git$/g, '');
          const tip = existsSync(join(dir, `${of}.git`))
            ? execFileSync('git', ['--git-dir', join(dir, `${of}.git`), 'rev-parse', 'main'], { encoding: 'utf8' }).trim()
            : '1'.repeat(40);
          const known = existsSync(join(work, '.gitmodules')) ? readFileSync(join(work, '.gitmodules'), 'utf8') : '';
          put(work, '.gitmodules', `${known}[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`);
          git('add', '.gitmodules');
          git('update-index', '--add', '--cacheinfo', `160000,${tip},${path}`);
        }
        git('commit', '-q', '--allow-empty', '-m', 'first');
        for (const [branch, more] of Object.entries(branches)) {
          git('checkout', '-q', '-b', branch, 'main');
          for (const [path, text] of Object.entries(more)) put(work, path, text);
          git('add', '-A');
          git('commit', '-q', '--allow-empty', '-m', branch);
        }
        git('clone', '-q', '--bare', work, bare);
        execFileSync('git', ['--git-dir', bare, 'config', 'http.receivepack', 'true']);
        execFileSync('git', ['--git-dir', bare, 'symbolic-ref', 'HEAD', 'refs/heads/main']);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
      repos.set(name, { bare, token });
    },
    /** Where it is on this machine, and what opens it over https: for git-ssh.mjs. */
    folder: (name) => repos.get(name).bare,
    tokenOf: (name) => repos.get(name).token ?? '',
    /** Its branches, with the commit of each. */
    branches(name) {
      const args = ['--git-dir', repos.get(name).bare, 'for-each-ref', '--format=%(refname:lstrip=2) %(objectname)', 'refs/heads'];
      return Object.fromEntries(execFileSync('git', args, { encoding: 'utf8' }).trim().split('\n').map((it) => it.split(' ')));
    },
    /** A file of a branch. */
    show: (name, branch, path) => execFileSync('git', ['--git-dir', repos.get(name).bare, 'show', `${branch}:${path}`], { encoding: 'utf8' }),
    stop: () => (server.close(), server.closeAllConnections()),
  };
}

function put(work, path, text) {
  mkdirSync(dirname(join(work, path)), { recursive: true });
  writeFileSync(join(work, path), text);
}

/** The password of Basic authentication: where Git hosts take a token. */
function tokenOf(request) {
  const [, basic] = /^Basic (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
  return basic && Buffer.from(basic, 'base64').toString().split(':').slice(1).join(':');
}

/** git's own server, as a CGI program (RFC 3875). */
function backend(dir, repo, rest, search, request, response) {
  const env = {
    ...process.env,
    GIT_PROJECT_ROOT: dir,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: `/${repo.bare.split('/').at(-1)}${rest}`,
    QUERY_STRING: search.slice(1),
    REQUEST_METHOD: request.method,
    CONTENT_TYPE: request.headers['content-type'] ?? '',
    REMOTE_USER: 'lab',
    REMOTE_ADDR: '127.0.0.1',
    HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
    GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
    // The repositories belong to whoever runs the lab.
    GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*',
  };
  if (request.headers['content-length']) env.CONTENT_LENGTH = request.headers['content-length'];
  const child = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 2] });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  const onData = (chunk) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', onData);
    const headers = Object.fromEntries(head.subarray(0, end).toString().split('\r\n').map((it) => it.split(/: (.*)/s).slice(0, 2)));
    const status = Number.parseInt(headers.Status ?? '200', 10);
    delete headers.Status;
    response.writeHead(status, headers);
    response.write(head.subarray(end + 4));
    child.stdout.pipe(response);
  };
  child.stdout.on('data', onData);
  child.on('close', () => response.end());
}

/** Git LFS: the batch API and the objects themselves. */
async function lfs(objects, request, response, name, rest) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const file = (oid) => join(objects, oid.replace(/[^0-9a-f]/g, ''));
  if (rest === '/info/lfs/objects/batch' && request.method === 'POST') {
    const { operation, objects: asked } = JSON.parse(body);
    const answer = asked.map(({ oid, size }) => {
      const has = existsSync(file(oid));
      if (operation === 'download' && !has) return { oid, size, error: { code: 404, message: 'no such object' } };
      if (operation === 'upload' && has) return { oid, size };
      const href = `https://${request.headers.host}/${name}/info/lfs/objects/${oid}`;
      return { oid, size, authenticated: true, actions: { [operation]: { href, header: { Authorization: request.headers.authorization ?? '' } } } };
    });
    return response.writeHead(200, { 'content-type': 'application/vnd.git-lfs+json' }).end(JSON.stringify({ transfer: 'basic', objects: answer }));
  }
  const oid = /^\/info\/lfs\/objects\/([0-9a-f]{64})$/.exec(rest)?.[1];
  if (oid && request.method === 'GET' && existsSync(file(oid))) return response.writeHead(200).end(readFileSync(file(oid)));
  if (oid && request.method === 'PUT') {
    writeFileSync(file(oid), body);
    return response.writeHead(200).end();
  }
  return response.writeHead(404, { 'content-type': 'application/vnd.git-lfs+json' }).end('{"message":"not found"}');
}

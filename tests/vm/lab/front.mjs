// The outside, as guests see it: one listener for https and one for http, which hand each request to the stand-in that
// plays its host; and the provider's metadata service. Tests can break a host. What the stand-ins answer is their own.
import http from 'node:http';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { METADATA, OUTSIDE } from './network.mjs';

/**
 * Starts it.
 * @param {{ca: {sign: Function}}} options `ca`: the test CA, which signs a certificate for every name that is asked for
 */
export async function startFront({ ca }) {
  const routes = new Map();
  const faults = new Map();
  const requests = [];
  const contexts = new Map();

  const context = (name) => {
    if (!contexts.has(name)) {
      contexts.set(name, Promise.resolve(ca.sign([name])).then(({ certFile, keyFile }) =>
        createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) })));
    }
    return contexts.get(name);
  };
  const serve = (isTls) => (request, response) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '');
    const from = request.socket.remoteAddress.replace('::ffff:', '');
    const entry = { host, method: request.method, path: request.url, from, status: null };
    requests.push(entry);
    response.on('close', () => (entry.status = response.headersSent ? response.statusCode : null));
    const fault = faults.get(host)?.(request);
    if (fault === 'drop') return request.socket.destroy();
    if (fault) return response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
    const route = routes.get(`${isTls ? 'https' : 'http'}://${host}`) ?? routes.get(isTls ? 'https://*' : 'http://*');
    if (!route) return response.writeHead(404).end('the lab has no such host\n');
    return forward(route, request, response, { ...request.headers, ...route.headers?.(from) });
  };

  const tls = https.createServer({ SNICallback: (name, done) => context(name).then((it) => done(null, it), done) }, serve(true));
  const plain = http.createServer(serve(false));
  for (const server of [tls, plain]) {
    server.requestTimeout = 0;
    server.on('clientError', (_, socket) => socket.destroy());
  }
  await listen(tls, 443, OUTSIDE);
  await listen(plain, 80, OUTSIDE);

  return {
    /** Every request that guests made: `{host, method, path, from, status}`. */
    requests,
    /** `route('https://name', {port} | {socketPath})`, perhaps with `headers(from)`, `path(url)`, `tls`; `*`: any other host. */
    route: (origin, to) => routes.set(origin, to),
    /** What the host answers instead, until `mend`: a function of the request that gives `drop`, `{status, …}` or nothing. */
    break: (host, how = () => 'drop') => faults.set(host, how),
    mend: (host) => faults.delete(host),
    stop: () => [tls, plain].forEach((it) => it.close() && it.closeAllConnections()),
  };
}

/** The provider's metadata service; it tells each guest, by its address, its own instance. */
export async function startMetadata({ instanceOf }) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const from = request.socket.remoteAddress.replace('::ffff:', '');
    requests.push({ from, path: request.url });
    const found = instanceOf(from);
    const answers = { '/hetzner/v1/metadata/instance-id': found?.id, '/hetzner/v1/userdata': found?.userData };
    const body = answers[request.url];
    if (body === undefined) return response.writeHead(404).end();
    return response.end(String(body));
  });
  await listen(server, 80, METADATA);
  return { requests, stop: () => server.close() };
}

export function listen(server, port, host) {
  return new Promise((done, failed) => server.once('error', failed).listen(port, host, done));
}

function forward(route, request, response, headers) {
  const client = route.tls ? https : http;
  const to = { method: request.method, path: route.path?.(request.url) ?? request.url, headers, host: '127.0.0.1', port: route.port, rejectUnauthorized: false };
  if (route.socketPath) Object.assign(to, { socketPath: route.socketPath, host: undefined, port: undefined });
  const onward = client.request(to, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', (error) => (response.headersSent ? response.destroy() : response.writeHead(502).end(`${error.message}\n`)));
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

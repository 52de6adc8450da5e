// Let's Encrypt's own test CA (pebble) at the address of the real one: real orders, challenges and certificates for IP
// addresses. Its root is made anew at every start; guests that trust it trust the door's certificate.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { until } from '../../e2e/support/until.mjs';

const HOST = 'acme-v02.api.letsencrypt.org';
const PORT = 14000;
const MANAGEMENT = 15000;

/** Starts it behind the front. Resolves to its root certificate (PEM). */
export async function startAcme({ dir, pebble, ca, front }) {
  const { certFile, keyFile } = await ca.sign(['localhost', HOST]);
  const config = join(dir, 'pebble.json');
  const settings = {
    listenAddress: `127.0.0.1:${PORT}`,
    managementListenAddress: `127.0.0.1:${MANAGEMENT}`,
    certificate: certFile,
    privateKey: keyFile,
    httpPort: 80,
    tlsPort: 443,
    profiles: {
      classic: { description: 'for names', validityPeriod: 7776000 },
      shortlived: { description: 'for addresses, six days', validityPeriod: 518400 },
    },
  };
  writeFileSync(config, JSON.stringify({ pebble: settings }));
  // Without the delays and refusals that it makes up to harden clients: here they would be noise.
  const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '100' };
  const child = spawn(pebble, ['-config', config], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
  // The real one has its directory elsewhere; everything after it follows from what that says.
  front.route(`https://${HOST}`, { port: PORT, tls: true, path: (url) => (url === '/directory' ? '/dir' : url) });
  const root = await until('pebble answers', () => get(`https://127.0.0.1:${MANAGEMENT}/roots/0`));
  return {
    host: HOST,
    root,
    log: () => log,
    /** Orders are refused as Let's Encrypt refuses them (RFC 8555, 6.7) until `front.mend(host)`. */
    refuse: () => front.break(HOST, (request) => (/order/.test(request.url) ? RATE_LIMITED : undefined)),
    stop: () => child.kill(),
  };
}

const RATE_LIMITED = {
  status: 429,
  headers: { 'content-type': 'application/problem+json', 'retry-after': '86400', 'replay-nonce': 'bm9uY2Utb2YtdGhlLWxhYg' },
  body: JSON.stringify({
    type: 'urn:ietf:params:acme:error:rateLimited',
    detail: 'too many certificates already issued for this exact set of identifiers',
    status: 429,
  }),
};

function get(url) {
  return new Promise((done, failed) => {
    https.get(url, { rejectUnauthorized: false }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk)).on('end', () => done(answer.statusCode === 200 && text));
    }).on('error', failed);
  });
}

// The fake cloud for a test: started on a free port, with its control routes as functions. What it answers is its own
// business (tests/fake-cloud); it is built by `npm test` and `npm start`.
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fakeVars } from '../../run/fake-providers.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PROGRAM =
  process.env.FAKE_CLOUD_BIN ?? resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/fake-cloud');

/**
 * Starts a fake cloud of its own for the caller; it ends with `close`, and in any case with this process.
 * @param {{token?: string, port?: number, guests?: boolean, bootSeconds?: number, actionMs?: number}} options
 */
export async function startFakeCloud({ token = 'test-cloud-token', port = 0, guests = true, bootSeconds, actionMs } = {}) {
  const args = ['--port', String(port), '--token', token, '--guests', guests ? 'on' : 'off', '--exit-with-stdin'];
  if (bootSeconds !== undefined) args.push('--boot-seconds', String(bootSeconds));
  if (actionMs !== undefined) args.push('--action-ms', String(actionMs));
  const child = spawn(PROGRAM, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise((done) => child.once('close', done));
  const url = await new Promise((done, failed) => {
    child.once('error', (error) => failed(new Error(`${PROGRAM}: ${error.message} (npm test builds it)`)));
    child.once('exit', (code) => failed(new Error(`${PROGRAM} ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = /^fake-cloud ready (\S+)$/.exec(line);
      if (ready) done(ready[1]);
    });
  });

  const control = async (method, path, body) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${url}/_fake/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} /_fake/${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  return {
    url,
    token,
    apiUrl: `${url}/v1`,
    /** What the Worker's configuration needs to use it, simulated guests included. */
    vars: fakeVars(url, token, ['hetzner']),
    /** The same for other providers; another token is one that the cloud does not know. */
    varsOf: (providers, itsToken = token) => fakeVars(url, itsToken, providers),
    state: () => control('GET', 'state'),
    requests: async () => (await control('GET', 'requests')).requests,
    reset: () => control('POST', 'reset'),
    fault: (fault) => control('POST', 'faults', fault),
    clearFaults: () => control('DELETE', 'faults'),
    config: (change) => control('POST', 'config', change),
    guest: (serverId, change) => control('POST', `guests/${serverId}`, change),
    close: () => {
      child.stdin.end();
      return gone;
    },
  };
}

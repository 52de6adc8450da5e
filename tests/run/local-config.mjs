// The configuration of a Worker on this machine: from the environment, .dev.vars and, for what nobody gave, values made
// once and kept in .cache/. It starts nothing.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fakeProviders, fakeVars } from './fake-providers.mjs';
import { cacheDir, root } from './prepare.mjs';

/** A provider is configured when one of these is. AWS's is left out of the second list: many shells export it. */
const PROVIDER_SECRETS = [
  'HETZNER_TOKEN',
  'SCALEWAY_SECRET_KEY',
  'OVH_APPLICATION_SECRET',
  'OVH_CLIENT_SECRET',
  'DIGITALOCEAN_TOKEN',
  'AWS_SECRET_ACCESS_KEY',
];
/** What some of them cannot do without. */
const BESIDE_SECRETS = [
  'SCALEWAY_PROJECT_ID',
  'OVH_PROJECT_ID',
  'OVH_ENDPOINT',
  'OVH_APPLICATION_KEY',
  'OVH_CONSUMER_KEY',
  'OVH_CLIENT_ID',
];
const FROM_ENVIRONMENT = [...PROVIDER_SECRETS.filter((it) => !it.startsWith('AWS_')), ...BESIDE_SECRETS];

/** The one whose state is kept; what runs elsewhere (tests do) forgets it. */
export const DEFAULT_PORT = 8787;

/** Ports and tokens of the local stack, as the environment asks for them. */
export function localOptions(env = process.env) {
  return {
    port: portOf(env, 'PORT', DEFAULT_PORT),
    cloudPort: portOf(env, 'CLOUD_PORT', 8790),
    cloudToken: env.CLOUD_TOKEN || 'dev-cloud-token',
    fakes: fakeProviders(env.FAKE_PROVIDERS),
    apiToken: env.MAYFLY_API_TOKEN || kept('api_token', () => randomBytes(24).toString('base64url')),
    given: { ...devVars(), ...fromEnvironment(env) },
  };
}

function portOf(env, name, fallback) {
  const port = Number(env[name] || fallback);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`${name}=${env[name]} is not a port`);
  return port;
}

function fromEnvironment(env) {
  return Object.fromEntries(FROM_ENVIRONMENT.filter((it) => env[it]).map((it) => [it, env[it]]));
}

function devVars() {
  const file = join(root, '.dev.vars');
  return existsSync(file) ? parseVars(readFileSync(file, 'utf8')) : {};
}

/** KEY=value lines as in a .env file: comments, `export`, and quotes around the whole value. */
export function parseVars(text) {
  const vars = {};
  for (const line of text.split('\n')) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) continue;
    const quoted = /^(["'`])(.*)\1$/.exec(match[2]);
    vars[match[1]] = quoted ? quoted[2] : match[2].replace(/\s+#.*$/, '');
  }
  return vars;
}

/** True if no provider is configured, so that the fake cloud stands in for one. */
export function isSimulation(given) {
  return !PROVIDER_SECRETS.some((it) => given[it]);
}

/** Vars and secrets for the Worker. */
export function localVars({ port, cloudPort, cloudToken, fakes, apiToken, given }) {
  const origin = `http://127.0.0.1:${port}`;
  const vars = {
    API_TOKEN: apiToken,
    SIGNING_KEY: kept('signing_key', newSigningKey),
    PUBLIC_URL: origin,
    // A try with a real token must not take the deployed Worker's VMs for its own.
    DEPLOYMENT: 'mayfly-local',
    ...given,
  };
  if (!isSimulation(given)) return vars;
  const cloud = `http://127.0.0.1:${cloudPort}`;
  return {
    ...vars,
    DEPLOYMENT: given.DEPLOYMENT ?? 'mayfly',
    ...fakeVars(cloud, cloudToken, fakes),
  };
}

/** A key for capabilities, links and sealing: `<id>:<secret>`, so that a later one can be put in front of it. */
export function newSigningKey() {
  return `k${Date.now().toString(36)}:${randomBytes(32).toString('base64url')}`;
}

/** A value made once for this clone. */
function kept(name, make) {
  const file = join(cacheDir(), 'local.json');
  const values = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  if (!values[name]) {
    values[name] = make();
    writeFileSync(file, JSON.stringify(values), { mode: 0o600 });
  }
  return values[name];
}

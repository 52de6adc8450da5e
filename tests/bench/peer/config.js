// The configuration, read and checked once per isolate: the keys that the measured routes depend on.
let app;

/** The configuration of this isolate, or what is wrong with it. Its digests need an asynchronous call, once. */
export function appOf(env) {
  app ??= read(env);
  return app;
}

async function read(env) {
  const problems = [];
  const get = (key) => (typeof env[key] === 'string' && env[key].trim()) || undefined;
  const problem = (field, detail) => problems.push({ field, detail });
  const config = {
    deployment: get('DEPLOYMENT') ?? 'mayfly',
    simulation: ['1', 'true', 'on'].includes(get('SIMULATION')),
    tokens: await tokens(get, problem),
    allowedOrigins: (get('ALLOWED_ORIGINS') ?? '').split(',').map((it) => it.trim()).filter(Boolean).map(originMatcher),
    apiUrl: (get('HETZNER_API_URL') ?? 'https://api.hetzner.cloud/v1').replace(/\/+$/, ''),
    authorization: `Bearer ${get('HETZNER_TOKEN')}`,
    domain: get('DOMAIN') ?? '',
    vmOrigin: get('VM_ORIGIN')?.replace(/\/+$/, ''),
  };
  if (!get('SIGNING_KEY')) {
    problem('SIGNING_KEY', 'is missing: kid:key with a random key; `npm run setup` makes one');
  }
  if (!get('HETZNER_TOKEN')) {
    problem(
      'HETZNER_TOKEN',
      'is missing: no provider is configured; create an API token (Read & Write) in a Hetzner Cloud project',
    );
  }
  return { problems, config };
}

async function tokens(get, problem) {
  const tokens = [];
  const [single, several] = [get('API_TOKEN'), get('API_TOKENS')];
  if (!single && !several) {
    problem('API_TOKEN', 'is missing: the bearer token of the API (or API_TOKENS); `npm run setup` makes one');
  }
  if (single) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(single));
    tokens.push({ owner: 'default', digest });
  }
  for (const [owner, hex] of Object.entries(several ? JSON.parse(several) : {})) {
    tokens.push({ owner, digest: Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16)) });
  }
  return tokens;
}

/** A configured origin, or one host label in place of its `*`. */
function originMatcher(allowed) {
  const [scheme, host] = allowed.split('*.');
  if (host === undefined) return (origin) => origin === allowed;
  const label = /^[A-Za-z0-9-]+$/;
  return (origin) =>
    origin.startsWith(scheme) &&
    origin.endsWith(`.${host}`) &&
    label.test(origin.slice(scheme.length, -host.length - 1));
}

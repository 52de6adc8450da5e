// The providers as `npm run setup` knows them: which keys each takes, where a person finds them, and how a wrong one is told
// before anything is deployed. What the Worker makes of the keys is its configuration's business.
const TIMEOUT_MS = 15_000;

/** A path of a vendor's API, or of what stands in for it. */
const base = (name, vendor) => process.env[`${name}_API_URL`] ?? vendor;

/**
 * `keys` are asked for in this order, `secret` ones without showing them; the first `secret` one says that the provider is
 * wanted. `more` are taken from the environment where they are there. `check` resolves to why the keys cannot be used, or
 * to nothing; without it only the Worker itself can tell (`GET /health/providers`).
 */
export const PROVIDERS = [
  {
    name: 'hetzner',
    title: 'Hetzner Cloud',
    hint: 'create a project, then an API token with Read & Write (Security, API tokens)',
    keys: [{ name: 'HETZNER_TOKEN', label: 'Hetzner token', secret: true }],
    more: ['HETZNER_VM_TOKEN'],
    /** The write cannot succeed, a key without name and content: who may write is told so, who may not is refused before. */
    async check({ HETZNER_TOKEN: token }) {
      const call = caller('Hetzner', base('HETZNER', 'https://api.hetzner.cloud/v1'), { authorization: `Bearer ${token}` });
      const read = await call('GET', '/servers?per_page=1');
      if (read.status === 401) return 'Hetzner does not know this token';
      if (read.status !== 200) return `Hetzner answered ${read.status}; try again later`;
      const write = await call('POST', '/ssh_keys', {});
      if (write.body.error?.code === 'token_readonly' || write.status === 403) return 'this token may only read: create one with Read & Write';
      return [400, 422].includes(write.status) ? undefined : `Hetzner answered ${write.status}; try again later`;
    },
  },
  {
    name: 'scaleway',
    title: 'Scaleway',
    hint: 'create a project, then an API key of an application with InstancesFullAccess in it (IAM, API keys)',
    keys: [
      { name: 'SCALEWAY_PROJECT_ID', label: 'Scaleway project id' },
      { name: 'SCALEWAY_SECRET_KEY', label: 'Scaleway secret key', secret: true },
    ],
    more: ['SCALEWAY_VM_SECRET_KEY', 'SCALEWAY_ZONES'],
    async check({ SCALEWAY_SECRET_KEY: key, SCALEWAY_PROJECT_ID: project }) {
      if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(project ?? '')) return 'SCALEWAY_PROJECT_ID must be a UUID';
      const call = caller('Scaleway', base('SCALEWAY', 'https://api.scaleway.com'), { 'x-auth-token': key });
      const read = await call('GET', `/instance/v1/zones/fr-par-1/servers?per_page=1&project=${project}`);
      if (read.status === 401) return 'Scaleway does not know this key';
      if (read.status === 403) return 'this key may not see instances: give it InstancesFullAccess';
      return read.status === 200 ? undefined : `Scaleway answered ${read.status}; try again later`;
    },
  },
  {
    name: 'digitalocean',
    title: 'DigitalOcean',
    hint: 'create a personal access token with full access (API, Tokens)',
    keys: [{ name: 'DIGITALOCEAN_TOKEN', label: 'DigitalOcean token', secret: true }],
    more: ['DIGITALOCEAN_VM_TOKEN'],
    async check({ DIGITALOCEAN_TOKEN: token }) {
      const call = caller('DigitalOcean', base('DIGITALOCEAN', 'https://api.digitalocean.com/v2'), { authorization: `Bearer ${token}` });
      const read = await call('GET', '/droplets?per_page=1');
      if (read.status === 401) return 'DigitalOcean does not know this token';
      if (read.status !== 200) return `DigitalOcean answered ${read.status}; try again later`;
      const write = await call('POST', '/tags', {});
      if ([401, 403].includes(write.status)) return 'this token may only read: create one with full access';
      return [400, 422].includes(write.status) ? undefined : `DigitalOcean answered ${write.status}; try again later`;
    },
  },
  {
    name: 'ovh',
    title: 'OVHcloud Public Cloud',
    hint: 'create a project, then an application with GET, POST, PUT and DELETE on /cloud/project/<id>/*, and /order/catalog/* to read (api.ovh.com/createToken)',
    keys: [
      { name: 'OVH_PROJECT_ID', label: 'OVHcloud project id' },
      { name: 'OVH_APPLICATION_KEY', label: 'OVHcloud application key' },
      { name: 'OVH_APPLICATION_SECRET', label: 'OVHcloud application secret', secret: true },
      { name: 'OVH_CONSUMER_KEY', label: 'OVHcloud consumer key', secret: true },
    ],
    instead: 'OVH_CLIENT_SECRET',
    more: ['OVH_ENDPOINT', 'OVH_REGIONS', 'OVH_SUBSIDIARY', 'OVH_CLIENT_ID', 'OVH_CLIENT_SECRET', 'OVH_VM_APPLICATION_KEY', 'OVH_VM_APPLICATION_SECRET', 'OVH_VM_CONSUMER_KEY'],
  },
  {
    name: 'ec2',
    title: 'AWS EC2',
    hint: 'create an IAM user with the policy that the README shows, and an access key for it',
    keys: [
      { name: 'AWS_REGIONS', label: 'AWS regions, such as eu-central-1' },
      { name: 'AWS_ACCESS_KEY_ID', label: 'AWS access key id' },
      { name: 'AWS_SECRET_ACCESS_KEY', label: 'AWS secret access key', secret: true },
    ],
    more: ['AWS_SUBNET_ID', 'AWS_SESSION_TOKEN'],
  },
];

/** The key that says that a provider is wanted. */
export const secretOf = (provider) => provider.keys.find((it) => it.secret).name;

/** Requests to one vendor: `(method, path, body) → {status, body}`; an error that names it where nothing answers. */
function caller(title, url, credentials) {
  return async (method, path, body) => {
    const headers = body === undefined ? credentials : { ...credentials, 'content-type': 'application/json' };
    let response;
    try {
      response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (error) {
      throw new Error(`${title} cannot be reached (${error.cause?.code ?? error.name})`);
    }
    return { status: response.status, body: await response.json().catch(() => ({})) };
  };
}

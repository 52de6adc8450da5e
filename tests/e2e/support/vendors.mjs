// What the contract's cases need to know of each provider behind its fake: where its servers are in the fake's state, how
// somebody else's is made, which request creates one, and how a creation that has begun is made to fail.

/** A request to the fake with its token; fails on anything but a 2xx answer. */
async function call(cloud, method, path, body, headers = { authorization: `Bearer ${cloud.token}` }) {
  const all = { ...headers, 'content-type': 'application/json' };
  const response = await fetch(`${cloud.url}${path}`, { method, headers: all, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

const hetzner = {
  /** Our id of a server. */
  idOf: (id) => `hetzner-${id}`,
  /** Of the fake's state: the servers, and whatever must be gone when they are. */
  servers: (state) => state.servers,
  leftovers: (state) => [...state.servers, ...state.volumes, ...state.primary_ips],
  /** Of the fake's state: what VMs share; it goes with a failed creation that made it. */
  shared: (state) => [...state.ssh_keys, ...state.firewalls],
  /** Somebody else's server, as like ours as can be. */
  foreign: async (cloud, name) => {
    const body = { name, server_type: 'cx23', image: 'debian-13', labels: { 'managed-by': 'mayfly' } };
    return (await call(cloud, 'POST', '/v1/servers', body)).server.id;
  },
  /** Ends a server behind the Worker's back. */
  destroy: (cloud, id) => call(cloud, 'DELETE', `/v1/servers/${id}`),
  /** Pages small enough for a few servers to fill several. */
  smallPages: { max_per_page: 2 },
  list: { method: 'GET', path: '/servers' },
  creation: { method: 'POST', path: '/servers' },
  /** Fails when a creation has made something already. */
  halfway: { method: 'POST', path: '/servers', status: 422, code: 'invalid_input' },
  /** Whether it had, going by the fake's log. */
  madeBefore: (requests) => requests.some((it) => it.method === 'POST' && it.path === '/ssh_keys' && it.status === 201),
};

const digitalocean = {
  idOf: (id) => `digitalocean-${id}`,
  servers: (state) => state.digitalocean.droplets,
  // Shared tags stay: they cost nothing, and everything is found by them.
  leftovers: ({ digitalocean: it }) => [...it.droplets, ...it.images, ...it.tags.filter((tag) => tag.startsWith('mayfly:'))],
  shared: (state) => [...state.digitalocean.ssh_keys, ...state.digitalocean.firewalls],
  foreign: async (cloud, name) => {
    const body = { name, region: 'fra1', size: 's-1vcpu-1gb', image: 'debian-13-x64', tags: ['mayfly-deployment:mayfly'] };
    return (await call(cloud, 'POST', '/digitalocean/v2/droplets', body)).droplet.id;
  },
  destroy: (cloud, id) => call(cloud, 'DELETE', `/digitalocean/v2/droplets/${id}`),
  smallPages: { max_per_page: 2 },
  list: { method: 'GET', path: '/digitalocean/v2/droplets' },
  creation: { method: 'POST', path: '/digitalocean/v2/droplets' },
  halfway: { method: 'POST', path: '/digitalocean/v2/droplets', status: 422, code: 'unprocessable_entity' },
  madeBefore: (requests) =>
    requests.some((it) => it.method === 'POST' && it.path === '/digitalocean/v2/firewalls' && it.status === 202),
};

export const VENDORS = { hetzner, digitalocean };

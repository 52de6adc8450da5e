// What the contract's cases need to know of each provider behind its fake: where its servers are in the fake's state, how
// somebody else's is made, which request creates one, and how a creation that has begun is made to fail.

/** For Scaleway: more of our servers than one page holds, and the disk of the smallest. */
const CROWD = 101;
const LOCAL_DISK = { 0: { volume_type: 'l_ssd', size: 20_000_000_000 } };

/** A request to the fake with its token; fails on anything but a 2xx answer. */
async function call(cloud, method, path, body, headers = { authorization: `Bearer ${cloud.token}` }) {
  const all = { ...headers, 'content-type': 'application/json' };
  const response = await fetch(`${cloud.url}${path}`, { method, headers: all, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

const hetzner = {
  /** The configuration key of a credential for VMs. */
  vmCredential: 'HETZNER_VM_TOKEN',
  /** Our id of a server. */
  idOf: (id) => `hetzner-${id}`,
  /** Of the fake's state: the servers, and whatever must be gone when they are. */
  servers: (state) => state.servers,
  leftovers: (state) => [...state.servers, ...state.volumes, ...state.primary_ips],
  /** Of the fake's state: what VMs share; it goes with a failed creation that made it. */
  shared: (state) => [...state.ssh_keys, ...state.firewalls],
  /** Somebody else's server, as like ours as can be; or with labels of the caller's. */
  foreign: async (cloud, name, labels = { 'managed-by': 'mayfly' }) => {
    const body = { name, server_type: 'cx23', image: 'debian-13', labels };
    return (await call(cloud, 'POST', '/v1/servers', body)).server.id;
  },
  /** Ends a server behind the Worker's back. */
  destroy: (cloud, id) => call(cloud, 'DELETE', `/v1/servers/${id}`),
  /** Pages small enough for a few servers to fill several. */
  smallPages: { max_per_page: 2 },
  list: { method: 'GET', path: '/servers' },
  creation: { method: 'POST', path: '/servers' },
  change: { method: 'PUT', path: '/servers/{id}' },
  deletion: { method: 'DELETE', path: '/servers/{id}' },
  /** What else a creation or a run of the reaper may stumble over. */
  others: [{ method: 'POST', path: '/ssh_keys', status: 409, code: 'conflict' }],
  /** Fails when a creation has made something already. */
  halfway: { method: 'POST', path: '/servers', status: 422, code: 'invalid_input' },
  /** Whether it had, going by the fake's log. */
  madeBefore: (requests) => requests.some((it) => it.method === 'POST' && it.path === '/ssh_keys' && it.status === 201),
};

const digitalocean = {
  vmCredential: 'DIGITALOCEAN_VM_TOKEN',
  idOf: (id) => `digitalocean-${id}`,
  servers: (state) => state.digitalocean.droplets,
  // Shared tags stay: they cost nothing, and everything is found by them.
  leftovers: ({ digitalocean: it }) => [...it.droplets, ...it.images, ...it.tags.filter((tag) => tag.startsWith('mayfly:'))],
  shared: (state) => [...state.digitalocean.ssh_keys, ...state.digitalocean.firewalls],
  foreign: async (cloud, name, labels = { 'mayfly-deployment': 'mayfly' }) => {
    const tags = Object.entries(labels).map((it) => it.join(':'));
    const body = { name, region: 'fra1', size: 's-1vcpu-1gb', image: 'debian-13-x64', tags };
    return (await call(cloud, 'POST', '/digitalocean/v2/droplets', body)).droplet.id;
  },
  destroy: (cloud, id) => call(cloud, 'DELETE', `/digitalocean/v2/droplets/${id}`),
  smallPages: { max_per_page: 2 },
  list: { method: 'GET', path: '/digitalocean/v2/droplets' },
  creation: { method: 'POST', path: '/digitalocean/v2/droplets' },
  change: { method: 'POST', path: '/digitalocean/v2/tags' },
  deletion: { method: 'DELETE', path: '/digitalocean/v2/droplets/{id}' },
  halfway: { method: 'POST', path: '/digitalocean/v2/droplets', status: 422, code: 'unprocessable_entity' },
  madeBefore: (requests) =>
    requests.some((it) => it.method === 'POST' && it.path === '/digitalocean/v2/firewalls' && it.status === 202),
};

const INSTANCE = '/scaleway/instance/v1/zones';
const FOREIGN_ZONE = 'fr-par-1';
const scalewayHeaders = (cloud) => ({ 'x-auth-token': cloud.token });

/** Where a server is, by its id. */
const zoneOf = async (cloud, id) => (await cloud.state()).scaleway.servers.find((it) => it.id === id).zone;

const scaleway = {
  vmCredential: 'SCALEWAY_VM_SECRET_KEY',
  // The foreign ones are all in one zone.
  idOf: (id, zone = FOREIGN_ZONE) => `scaleway-${zone}-${id}`,
  servers: (state) => state.scaleway.servers,
  leftovers: ({ scaleway: it }) => [...it.servers, ...it.volumes, ...it.ips, ...it.images, ...it.snapshots],
  shared: (state) => state.scaleway.security_groups.filter((it) => !it.project_default),
  foreign: async (cloud, name, labels = { 'managed-by': 'mayfly' }) => {
    const tags = Object.entries(labels).map((it) => it.join('='));
    const body = { name, commercial_type: 'DEV1-S', image: 'debian_trixie', tags, volumes: LOCAL_DISK };
    return (await call(cloud, 'POST', `${INSTANCE}/${FOREIGN_ZONE}/servers`, body, scalewayHeaders(cloud))).server.id;
  },
  /** A running server can only be terminated. */
  destroy: async (cloud, id) =>
    call(cloud, 'POST', `${INSTANCE}/${await zoneOf(cloud, id)}/servers/${id}/action`, { action: 'terminate' }, scalewayHeaders(cloud)),
  // Its pages are as large as they are asked to be: a hundred more of ours make a second one.
  smallPages: {},
  crowd: async (cloud) => {
    await cloud.config({ server_limit: 1000 });
    const [{ tags, zone }] = (await cloud.state()).scaleway.servers.filter((it) => it.tags.some((tag) => tag.startsWith('mayfly-vm=')));
    for (let nth = 0; nth < CROWD; nth += 1) {
      const vm = `mayfly-vm=${'a'.repeat(23)}${String(nth).padStart(3, '2').replaceAll(/[0189]/g, (digit) => 'wxyz'['0189'.indexOf(digit)])}`;
      const its = tags.map((tag) => (tag.startsWith('mayfly-vm=') ? vm : tag)).filter((tag) => !tag.startsWith('mayfly-idem'));
      const body = { name: `more-${nth}`, commercial_type: 'DEV1-S', image: 'debian_trixie', tags: its, volumes: LOCAL_DISK };
      await call(cloud, 'POST', `${INSTANCE}/${zone}/servers`, body, scalewayHeaders(cloud));
    }
    return CROWD;
  },
  list: { method: 'GET', path: `${INSTANCE}/*/servers` },
  creation: { method: 'POST', path: `${INSTANCE}/*/servers` },
  change: { method: 'PATCH', path: `${INSTANCE}/*/servers/{id}` },
  deletion: { method: 'POST', path: `${INSTANCE}/*/servers/{id}/action` },
  halfway: { method: 'PATCH', path: `${INSTANCE}/*/servers/*/user_data/cloud-init`, status: 400, code: 'invalid_arguments' },
  madeBefore: (requests) => requests.some((it) => it.method === 'POST' && it.path.endsWith('/servers') && it.status === 201),
};

/** OVHcloud's address of the one project that the fake has. */
const PROJECT = '/ovh/v1/cloud/project/0f1e2d3c4b5a69788796a5b4c3d2e1f0';

/** A request to the fake's OVHcloud, with a token of its service account. */
async function ovhCall(cloud, method, path, body) {
  const form = { grant_type: 'client_credentials', scope: 'all', client_id: 'fake-client', client_secret: cloud.token };
  const answer = await fetch(`${cloud.url}/ovh/oauth2/token`, { method: 'POST', body: new URLSearchParams(form) });
  const { access_token: token } = await answer.json();
  return call(cloud, method, `${PROJECT}${path}`, body, { authorization: `Bearer ${token}` });
}

const ovh = {
  vmCredentials: (token) => ({
    OVH_VM_APPLICATION_KEY: 'fake-application',
    OVH_VM_APPLICATION_SECRET: token,
    OVH_VM_CONSUMER_KEY: 'fake-consumer',
  }),
  idOf: (id) => `ovh-${id}`,
  servers: (state) => state.ovh.instances,
  leftovers: ({ ovh: it }) => [...it.instances, ...it.snapshots],
  shared: (state) => state.ovh.ssh_keys,
  /** Labels are in its name alone, packed: whatever is asked for, the name has the shape of ours. */
  foreign: async (cloud, name) => {
    const [image] = (await ovhCall(cloud, 'GET', '/image?region=GRA11&osType=linux')).filter((it) => it.name === 'Debian 13');
    const [flavor] = (await ovhCall(cloud, 'GET', '/flavor?region=GRA11')).filter((it) => it.name === 'd2-4');
    const body = { name: `mayfly-${name}_wNSHAGAmayfly`, region: 'GRA11', flavorId: flavor.id, imageId: image.id };
    return (await ovhCall(cloud, 'POST', '/instance', body)).id;
  },
  destroy: (cloud, id) => ovhCall(cloud, 'DELETE', `/instance/${id}`),
  /** A server's name holds all labels: where the wish for a description has no room, the snapshot is called as its VM. */
  noteMayNotFit: true,
  /** Its lists have no pages. */
  smallPages: undefined,
  list: { method: 'GET', path: `${PROJECT}/instance` },
  creation: { method: 'POST', path: `${PROJECT}/instance` },
  change: { method: 'PUT', path: `${PROJECT}/instance/{id}` },
  deletion: { method: 'DELETE', path: `${PROJECT}/instance/{id}` },
  halfway: { method: 'POST', path: `${PROJECT}/instance`, status: 400, code: 'Client::BadRequest' },
  madeBefore: (requests) => requests.some((it) => it.method === 'POST' && it.path === `${PROJECT}/sshkey` && it.status === 200),
};

export const VENDORS = { hetzner, scaleway, digitalocean, ovh };

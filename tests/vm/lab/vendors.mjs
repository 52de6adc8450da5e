// What the lab needs to know of each provider behind the fake cloud: how VMs reach its API, which servers and stored disks
// there are in one shape, and how a server that switched itself off is made known.

/**
 * `{id, vmId, name, address, image, power: 'on'|'off'|'between'}`: `vmId` is our API's id, `address` what the guest gets, `image`
 * what its disk begins with. Stored disks: `{id, of}`, the server that they are of.
 */
const hetzner = {
  api: 'https://api.hetzner.cloud',
  prefix: '',
  servers: (state) => state.servers.filter((it) => it.status !== 'deleting').map((it) => ({
    id: it.id,
    vmId: `hetzner-${it.id}`,
    name: it.name,
    address: it.public_net.ipv4.ip,
    image: it.image?.id,
    power: { running: 'on', off: 'off' }[it.status] ?? 'between',
  })),
  disks: (state) => state.images.map((it) => ({ id: it.id, of: it.created_from?.id })),
  act: (id, command) => ({ path: `/v1/servers/${id}/actions/${command}` }),
  headers: (token) => ({ authorization: `Bearer ${token}` }),
};

const scaleway = {
  api: 'https://api.scaleway.com',
  prefix: '/scaleway',
  servers: (state) => state.scaleway.servers.map((it) => ({
    id: it.id,
    vmId: `scaleway-${it.zone}-${it.id}`,
    name: it.name,
    address: it.public_ip?.address,
    zone: it.zone,
    power: { running: 'on', stopped: 'off', 'stopped in place': 'off' }[it.state] ?? 'between',
  })),
  disks: () => [],
  act: (id, command, { zone }) => ({ path: `/scaleway/instance/v1/zones/${zone}/servers/${id}/action`, body: { action: command } }),
  headers: (token) => ({ 'x-auth-token': token }),
};

export const VENDORS = { hetzner, scaleway };

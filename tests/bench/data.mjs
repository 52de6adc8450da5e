// What the provider of the bench answers: pages of servers, shaped field for field like the example in Hetzner's API
// reference, with the labels that Mayfly writes. The same numbers on every run; only the times follow the clock.
import { createHash } from 'node:crypto';

const PER_PAGE = 50;
const LOCATIONS = [
  { id: 1, name: 'fsn1', description: 'Falkenstein DC Park 1', country: 'DE', city: 'Falkenstein' },
  { id: 2, name: 'nbg1', description: 'Nuremberg DC Park 1', country: 'DE', city: 'Nuremberg' },
  { id: 3, name: 'hel1', description: 'Helsinki DC Park 1', country: 'FI', city: 'Helsinki' },
].map((it) => ({ ...it, latitude: 50.47612, longitude: 12.370071, network_zone: 'eu-central' }));
const TYPES = [
  { id: 114, name: 'cx23', cores: 2, memory: 4, disk: 40, gross: '0.0104720000000000', size: 'small' },
  { id: 115, name: 'cx33', cores: 4, memory: 8, disk: 80, gross: '0.0154700000000000', size: 'medium' },
  { id: 116, name: 'cx43', cores: 8, memory: 16, disk: 160, gross: '0.0254660000000000', size: 'large' },
];
const REPOSITORIES = [
  ['0github.com_srust-lang_srust.git0'],
  ['0github.com_sacme_uinc_sshop-frontend0'],
  ['0_hgit_agitlab.example.com_cteam_sbilling.git0'],
  // As long as it gets: two labels.
  [`0git.example.com_s${'group_s'.repeat(6)}00`, `0${'nested_s'.repeat(4)}service.git0`],
];
const UIS = ['cloudcli', 'ttyd', 'code-server', 'openhands'];
const PHASES = ['ready', 'ready', 'ready', 'ready', 'ready', 'devcontainer', 'clone', 'failed'];
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Pages of a list of `count` servers that belong to `owner`, as they go over the wire. */
export function pages(count, owner, nowSecs) {
  const servers = Array.from({ length: count }, (_, at) => server(at, owner, nowSecs));
  const last = Math.max(1, Math.ceil(count / PER_PAGE));
  return Array.from({ length: last }, (_, at) => {
    const page = at + 1;
    const pagination = {
      page,
      per_page: PER_PAGE,
      previous_page: page > 1 ? page - 1 : null,
      next_page: page < last ? page + 1 : null,
      last_page: last,
      total_entries: count,
    };
    return Buffer.from(JSON.stringify({ servers: servers.slice(at * PER_PAGE, page * PER_PAGE), meta: { pagination } }));
  });
}

function server(at, owner, nowSecs) {
  const type = TYPES[at % TYPES.length];
  const location = LOCATIONS[at % LOCATIONS.length];
  const created = nowSecs - 600 - at * 137;
  const id = 58_000_000 + at * 31;
  const ip = `203.0.113.${at % 256}`;
  const net = `2001:db8:${(at + 1).toString(16)}::`;
  const name = `mayfly-repo-${word(`name ${at}`, 4)}`;
  // A new server has no address for a moment.
  const address = { id: id + 1, ip, blocked: false, dns_ptr: `static.${at % 256}.113.0.203.clients.example.com` };
  return {
    id,
    name,
    status: at % 16 === 15 ? 'initializing' : at % 16 === 14 ? 'off' : 'running',
    created: time(created),
    public_net: {
      ipv4: at % 16 === 15 ? null : address,
      ipv6: { id: id + 2, ip: `${net}/64`, blocked: false, dns_ptr: [{ ip: `${net}1`, dns_ptr: `${name}.example.com` }] },
      floating_ips: [],
      firewalls: [{ id: 38, status: 'applied' }],
    },
    private_net: [],
    server_type: serverType(type),
    location,
    image: image(id),
    iso: null,
    rescue_enabled: false,
    locked: false,
    backup_window: null,
    outgoing_traffic: 123_456,
    ingoing_traffic: 654_321,
    included_traffic: 21_990_232_555_520,
    protection: { delete: false, rebuild: false },
    labels: labels(at, owner, nowSecs, created, type),
    volumes: [],
    load_balancers: [],
    primary_disk_size: type.disk,
    placement_group: null,
  };
}

function serverType({ id, name, cores, memory, disk, gross }) {
  const price = (factor) => ({ net: (gross * factor).toFixed(10), gross: (gross * factor * 1.19).toFixed(16) });
  return {
    id,
    name,
    description: name.toUpperCase(),
    cores,
    memory,
    disk,
    deprecated: false,
    prices: LOCATIONS.map((it) => ({
      location: it.name,
      price_hourly: price(1),
      price_monthly: price(624),
      included_traffic: 21_990_232_555_520,
      price_per_tb_traffic: { net: '1.0000000000', gross: '1.1900000000000000' },
    })),
    storage_type: 'local',
    cpu_type: 'shared',
    category: 'Shared vCPU',
    architecture: 'x86',
    deprecation: null,
    locations: LOCATIONS.map((it) => ({ id: it.id, name: it.name, deprecation: null, recommended: true, available: true })),
  };
}

function image(id) {
  return {
    id: 310_557_660,
    type: 'system',
    status: 'available',
    name: 'debian-13',
    description: 'Debian 13',
    image_size: null,
    disk_size: 5,
    created: '2025-08-18T05:46:10Z',
    created_from: null,
    bound_to: id % 31 === 0 ? null : id,
    os_flavor: 'debian',
    os_version: '13',
    rapid_deploy: true,
    protection: { delete: false },
    deprecated: null,
    deleted: null,
    labels: {},
    architecture: 'x86',
  };
}

function labels(at, owner, nowSecs, created, type) {
  const phase = PHASES[at % PHASES.length];
  const repo = REPOSITORIES[at % 13 === 12 ? 3 : at % 3];
  const set = {
    'managed-by': 'mayfly',
    'mayfly-deployment': 'mayfly',
    'mayfly-vm': word(`vm ${at}`, 26),
    'mayfly-owner': owner,
    'mayfly-phase': phase,
    // Some have been silent for too long.
    'mayfly-seen': String(nowSecs - (at % 9 === 8 ? 4000 : at % 500)),
    'mayfly-active': String(nowSecs - (at % 1700)),
    'mayfly-idle': '30',
    'mayfly-expires': String(created + 12 * 3600),
    'mayfly-timing': `d${10 + (at % 9)}.c${1 + (at % 5)}.v${40 + (at % 70)}.u${5 + (at % 20)}`,
    'mayfly-why': `a${at % 7}.t${at % 11}.f${at % 30}.c${at % 3}`,
    'mayfly-price': `${Math.round(type.gross * 1e6)}.EUR`,
    'mayfly-hostkey': word(`key ${at}`, 52).slice(0, 51) + 'a',
    'mayfly-repo': repo[0],
    'mayfly-profile': 'coding',
    'mayfly-ui': UIS[at % UIS.length],
    'mayfly-size': type.size,
    'mayfly-key': 'k1',
  };
  repo.slice(1).forEach((piece, index) => (set[`mayfly-repo-${index + 1}`] = piece));
  if (at % 5 === 0) set['mayfly-branch'] = at % 10 === 0 ? '0_hfeature_sgr_xc3_xb6_xc3_x9fer0' : '0_hmain0';
  if (at % 6 === 0) set['mayfly-attention'] = at % 12 === 0 ? 'waiting' : 'done';
  if (phase === 'failed') set['mayfly-reason'] = 'clone.auth_failed';
  return set;
}

/** A fixed word of base32 letters. */
function word(seed, length) {
  const digest = createHash('sha512').update(seed).digest();
  return Array.from({ length }, (_, at) => BASE32[digest[at] % 32]).join('');
}

function time(secs) {
  return new Date(secs * 1000).toISOString().replace('.000Z', 'Z');
}

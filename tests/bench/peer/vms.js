// `GET /vms`: the caller's VMs, as our JSON.
import { ProviderError, servers } from './hetzner.js';
import { PHASES, certificate, hostKey, integer, price, reason, text, timing, verdict } from './labels.js';

const FRESH_SECS = 25 * 60;
const LONGEST_LIFE_SECS = 168 * 3600;
const STATES = {
  running: 'running',
  initializing: 'creating',
  starting: 'creating',
  stopping: 'stopping',
  off: 'stopped',
  deleting: 'deleting',
};
const SIZES = ['small', 'medium', 'large'];

/** A provider that fails is reported beside what there is. */
export async function listVms(c) {
  const [config, owner] = [c.get('config'), c.get('owner')];
  const nowSecs = Math.floor(Date.now() / 1000);
  const [vms, errors] = [[], []];
  const totals = { count: 0, currency: null, price_per_hour: 0, cost_so_far: 0, cost_until_expiry: 0 };
  try {
    for (const server of await servers(config, owner)) {
      // The provider was asked for ours alone; what it sends beside is not shown.
      if (!isOurs(server.labels, config, owner)) continue;
      const vm = vmBody(server, config, nowSecs);
      vms.push(vm.body);
      add(totals, vm.cost);
    }
  } catch (error) {
    if (error instanceof TypeError) {
      errors.push(new ProviderError('malformed', 'answered with something that is not what its documentation says').body());
    } else if (error instanceof ProviderError) {
      errors.push(error.body());
    } else {
      throw error;
    }
  }
  totals.count = vms.length;
  // Amounts of different currencies cannot be added up.
  if (totals.isMixed) Object.assign(totals, { currency: null, price_per_hour: 0, cost_so_far: 0, cost_until_expiry: 0 });
  delete totals.isMixed;
  totals.price_per_hour /= 1e6;
  totals.cost_so_far /= 1e6;
  totals.cost_until_expiry /= 1e6;
  return c.json({ vms, errors, totals });
}

function isOurs(labels, { deployment }, owner) {
  return (
    labels['managed-by'] === 'mayfly' &&
    labels['mayfly-deployment'] === deployment &&
    labels['mayfly-owner'] === owner &&
    Boolean(labels['mayfly-vm'])
  );
}

/** Amounts of different currencies are not added up: the first one counts. */
function add(totals, cost) {
  if (cost === null) return;
  if ((totals.currency ??= cost.currency) !== cost.currency) {
    totals.isMixed = true;
    return;
  }
  totals.price_per_hour += cost.perHour;
  totals.cost_so_far += cost.soFar;
  totals.cost_until_expiry += cost.untilExpiry;
}

/** Every started hour is billed whole, the first in any case; millionths. */
function costOf(labels, createdSecs, idleEnd, expiresSecs, nowSecs) {
  const hourly = price(labels['mayfly-price']);
  if (hourly === null) return null;
  const until = (secs) => Math.max(1, Math.ceil((secs - createdSecs) / 3600)) * hourly.micros;
  const soFar = until(nowSecs);
  return {
    currency: hourly.currency,
    perHour: hourly.micros,
    soFar,
    untilIdle: idleEnd !== null && idleEnd < expiresSecs ? Math.max(soFar, until(idleEnd)) : null,
    untilExpiry: Math.max(soFar, until(expiresSecs)),
  };
}

function vmBody(server, config, nowSecs) {
  const { labels } = server;
  const createdSecs = Math.floor(Date.parse(server.created) / 1000);
  const expiresSecs = integer(labels['mayfly-expires']) ?? createdSecs + LONGEST_LIFE_SECS;
  const seenSecs = integer(labels['mayfly-seen']);
  const idleMinutes = integer(labels['mayfly-idle']);
  const activeSecs = integer(labels['mayfly-active']) ?? createdSecs;
  const idleSecs = idleMinutes === null ? null : activeSecs + idleMinutes * 60;
  const ipv4 = server.public_net.ipv4?.ip ?? null;
  const origin = ipv4 === null ? null : originOf(config, server.name, ipv4);
  const state = STATES[server.status] ?? 'unknown';
  const idleEnd = idleSecs === null || !['running', 'creating'].includes(state) ? null : idleEndOf(labels['mayfly-want'], Math.max(idleSecs, nowSecs));
  const cost = costOf(labels, createdSecs, idleEnd, expiresSecs, nowSecs);
  const phase = PHASES.includes(labels['mayfly-phase']) ? labels['mayfly-phase'] : 'booting';
  const body = {
    id: `hetzner-${server.id}`,
    name: server.name,
    provider: 'hetzner',
    location: server.location.name,
    server_type: server.server_type.name,
    market: 'on-demand',
    size: SIZES.includes(labels['mayfly-size']) ? labels['mayfly-size'] : null,
    profile: labels['mayfly-profile'] || null,
    web_ui: labels['mayfly-ui'] || null,
    repo_url: text(labels, 'mayfly-repo'),
    branch: text(labels, 'mayfly-branch'),
    owner: labels['mayfly-owner'],
    state,
    phase,
    services_ready: phase === 'ready' && seenSecs !== null && nowSecs - seenSecs <= FRESH_SECS && state === 'running',
    attention: labels['mayfly-attention'] || null,
    want: want(labels['mayfly-want'], nowSecs),
    created_at: time(createdSecs),
    age_seconds: Math.max(0, nowSecs - createdSecs),
    ipv4,
    ipv6: server.public_net.ipv6?.ip ?? null,
    cost: cost && {
      currency: cost.currency,
      per_hour: cost.perHour / 1e6,
      so_far: cost.soFar / 1e6,
      until_idle: cost.untilIdle === null ? null : cost.untilIdle / 1e6,
      until_expiry: cost.untilExpiry / 1e6,
    },
    idle:
      idleMinutes === null
        ? null
        : {
            limit_minutes: idleMinutes,
            active_at: time(activeSecs),
            deadline: time(idleSecs),
            verdict: verdict(labels['mayfly-why']),
          },
    expires_at: time(expiresSecs),
    last_seen_at: seenSecs === null ? null : time(seenSecs),
    boot: { phases: timing(labels['mayfly-timing']), reason: reason(labels['mayfly-reason']) },
    urls:
      origin === null
        ? {}
        : { web_ui: `${origin}/`, terminal: `${origin}/terminal/`, status: `${origin}/_mayfly/status` },
    ssh: ipv4 === null ? null : { command: `ssh root@${ipv4}`, host_key: hostKey(labels['mayfly-hostkey']) },
    tls: certificate(labels['mayfly-tls']),
  };
  return { body, cost };
}

/** When it ends for idleness, with what was asked of it meanwhile. */
function idleEndOf(label, idleSecs) {
  const [, word, secs] = /^(stop|snapshot|keep)-(\d+)$/.exec(label ?? '') ?? [];
  if (word === undefined) return idleSecs;
  return word === 'keep' ? Math.max(idleSecs, Number(secs)) : null;
}

/** `stop-<seconds>`, `snapshot-<seconds>` or `keep-<seconds>`; the last only until its time. */
function want(label, nowSecs) {
  const [, word, secs] = /^(stop|snapshot|keep)-(\d+)$/.exec(label ?? '') ?? [];
  return word === undefined || (word === 'keep' && Number(secs) <= nowSecs) ? null : word;
}

function originOf(config, name, ipv4) {
  if (config.vmOrigin) return config.vmOrigin.replaceAll('{ipv4}', ipv4);
  return config.domain === '' ? `https://${ipv4}` : `https://${name}.${config.domain}`;
}

/** RFC 3339 in whole seconds. */
function time(secs) {
  return `${new Date(secs * 1000).toISOString().slice(0, 19)}Z`;
}

// The provider and the Worker of the lab: the fake cloud, whose servers are real guests here, and the Worker in workerd.
// A server that is created boots; one that is deleted is torn down; power goes both ways.
import { join } from 'node:path';
import { startFakeCloud } from '../../e2e/support/cloud.mjs';
import { until } from '../../e2e/support/until.mjs';
import { startWorker } from '../../e2e/support/worker.mjs';
import { makeGuest } from './guest.mjs';
import { VENDORS } from './vendors.mjs';

const LOOK_MS = 200;

/**
 * Starts both, and the driver between the cloud's servers and the guests.
 * @param {{dir: string, base: string, layers?: string[], group: string, front: object, rootCas: string[], vars?: object,
 *   bucket?: boolean, provider?: string}} options `vars`: the Worker's, besides what it needs anyway; `bucket`: whether it has one
 */
export async function startCloud({ dir, base, layers = [], group, front, rootCas, vars = {}, bucket = false, provider: name = 'hetzner' }) {
  const vendor = VENDORS[name];
  const fake = await startFakeCloud({ guests: false, actionMs: 200 });
  const fakePort = Number(new URL(fake.url).port);
  front.route(vendor.api, { port: fakePort, path: (url) => `${vendor.prefix}${url}` });
  // The guests are real, and behind addresses of their own.
  const { SIMULATION: _, VM_ORIGIN: __, ...providerVars } = fake.varsOf([name]);
  const worker = await startWorker({
    bucket,
    vars: {
      ...providerVars,
      PUBLIC_URL: 'https://mayfly.test',
      ...vars,
    },
  });
  // As Cloudflare does it: the Worker learns the caller's address from a header that the caller cannot set.
  front.route('https://mayfly.test', { port: Number(new URL(worker.url).port), headers: (from) => ({ 'cf-connecting-ip': from }) });

  const guests = new Map();
  const statuses = new Map();
  const gone = [];
  const disks = new Map();
  let copyOf;
  let change;
  let stopped = false;
  let failure;

  async function userDataOf(id) {
    const response = await fetch(`${fake.url}/_fake/servers/${id}/user-data`);
    return response.ok ? response.text() : '';
  }

  async function powerAt(guest, command) {
    const { path, body } = vendor.act(guest.id, command, guest.server);
    const headers = { ...vendor.headers(fake.token), 'content-type': 'application/json' };
    return fetch(`${fake.url}${path}`, { method: 'POST', headers, body: body && JSON.stringify(body) });
  }

  async function create(server) {
    const guest = makeGuest({
      dir, base, layers, group, rootCas,
      id: server.id,
      name: server.name,
      address: server.address,
      userData: await userDataOf(server.id),
      from: disks.get(server.image) ?? copyOf,
    });
    copyOf = undefined;
    guest.server = server;
    guests.set(server.id, guest);
    change?.(guest);
    change = undefined;
    power(guest);
  }

  function power(guest) {
    guest.boot();
    guest.off().then(async () => {
      // Where it switched itself off, the provider sees that. What the provider switched off may be on again by now.
      const isKnown = statuses.get(guest.id) === 'off';
      if (guests.get(guest.id) === guest && !isKnown) await powerAt(guest, 'poweroff').catch(() => {});
    });
  }

  /** A snapshot is the disk as it is at that moment, whatever its server goes on to do. */
  function store({ id, of }) {
    const guest = guests.get(of);
    disks.set(id, guest && guest.stored(join(dir, `disk-${id}`)));
  }

  async function look() {
    const state = await fake.state();
    for (const disk of vendor.disks(state)) if (!disks.has(disk.id)) store(disk);
    const servers = vendor.servers(state);
    for (const server of servers) {
      const guest = guests.get(server.id);
      const wasOff = statuses.get(server.id) === 'off';
      // What it is between two states it was before: one that is starting has been off.
      if (server.power !== 'between') statuses.set(server.id, server.power);
      if (!guest && server.power === 'on') await create(server);
      else if (guest?.isUp() && server.power === 'off') await guest.kill();
      else if (guest && !guest.isUp() && wasOff && server.power === 'on') power(guest);
    }
    const there = new Set(servers.map((it) => it.id));
    for (const [id, guest] of guests) {
      if (!there.has(id)) {
        guests.delete(id);
        gone.push(guest);
        await guest.kill();
      }
    }
  }

  const driver = (async () => {
    while (!stopped) {
      await look().catch((error) => (failure ??= error));
      await new Promise((go) => setTimeout(go, LOOK_MS));
    }
  })();

  return {
    fake,
    worker,
    /** The provider's servers, in one shape. */
    servers: async () => vendor.servers(await fake.state()),
    /** Guests that are there now; those that were deleted are in `gone`, with their disks. */
    guests: () => [...guests.values()],
    gone,
    /** What broke the driver, if anything did. */
    failure: () => failure,
    /** The guest of a VM of our API. */
    guestOf: (id) => [...guests.values(), ...gone].find((it) => it.server.vmId === id),
    /** The instance that the metadata service tells an address about. */
    instanceOf: (address) => {
      const guest = [...guests.values()].find((it) => it.address === address);
      return guest && { id: guest.id, userData: guest.userData };
    },
    /** The disk of one of our API's snapshots: `{disk: {up, docker}}`. */
    diskOf: (id) => [...disks].find(([native]) => id.endsWith(`-${native}`))?.[1],
    /** A power action of the provider, as soon as no other one runs on the server. */
    act: (guest, command) => until(command, async () => (await powerAt(guest, command)).ok, { everyMs: 200 }),
    /** The next guest is changed by this, before its first boot. */
    beforeNext: (how) => (change = how),
    /** The next server that is created starts from a copy of this guest's disk. */
    copyNext: (guest) => (copyOf = guest),
    async stop() {
      stopped = true;
      await driver;
      for (const guest of [...guests.values(), ...gone]) await guest.destroy();
      await worker.close();
      await fake.close();
    },
  };
}

// The lab's network, inside a network namespace of its own: one bridge that is the whole world of the guests, and the
// name server that leads every name to it. There is no route out. What listens there is front.mjs's.
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where every outside name leads: a public address by any firewall's rules (RFC 5737). */
export const OUTSIDE = '198.51.100.1';
/** Where the guests' packets go first; the fake cloud gives servers addresses of 203.0.113.0/24. */
export const GATEWAY = '203.0.113.254';
/** A neighbour in a private network: nobody unprivileged may reach it from a guest. */
export const NEIGHBOUR = '10.99.0.1';
export const METADATA = '169.254.169.254';

/** Names that lead somewhere else than outside: what a hostile name server would answer. */
const HOSTILE = { 'metadata.test': METADATA, 'neighbour.test': NEIGHBOUR, 'loopback.test': '127.0.0.1' };

/** Runs `ip` and fails with what it says. */
export function ip(...args) {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr || done.error}`);
  return done.stdout;
}

/** Lays the bridge and starts the name server. Ends with the namespace. */
export function startNetwork(dir) {
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'br0', 'type', 'bridge');
  ip('link', 'set', 'br0', 'up');
  for (const address of [`${OUTSIDE}/24`, `${GATEWAY}/24`, `${METADATA}/32`, `${NEIGHBOUR}/24`]) {
    ip('address', 'add', address, 'dev', 'br0');
  }
  const conf = join(dir, 'dnsmasq.conf');
  const lines = ['no-resolv', 'no-hosts', 'bind-interfaces', `listen-address=${OUTSIDE},127.0.0.53`, 'cache-size=0', `address=/#/${OUTSIDE}`];
  lines.push('user=root', ...Object.entries(HOSTILE).map(([name, address]) => `address=/${name}/${address}`));
  writeFileSync(conf, `${lines.join('\n')}\n`);
  const child = spawn('dnsmasq', ['--keep-in-foreground', `--conf-file=${conf}`, '--pid-file='], { stdio: ['ignore', 'ignore', 2] });
  return { stop: () => child.kill() };
}

// One lab: network, outside, provider, Worker; what a scenario gets to work with. Must run inside namespaces of its own
// (inner.mjs). What is tried in it is the scenario's.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { until } from '../../e2e/support/until.mjs';
import { root } from '../../run/prepare.mjs';
import { testCa } from '../image/ca.mjs';
import { startAnthropic } from '../stand-ins/anthropic.mjs';
import { startGit } from '../stand-ins/git.mjs';
import { startGitSsh } from '../stand-ins/git-ssh.mjs';
import { startRegistry } from '../stand-ins/registry.mjs';
import { startAcme } from './acme.mjs';
import { startCloud } from './cloud.mjs';
import { startFront, startMetadata } from './front.mjs';
import { must } from './guest.mjs';
import { OUTSIDE, startNetwork } from './network.mjs';

const PORTS = { git: 9001, anthropic: 9002, registry: 9003 };
/** The provider accepts no key that is not one; nobody has this one's other half. */
const SSH_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ lab';
export const KEYS = { anthropic: 'sk-ant-api03-lab-key-of-nobody-0123456789', oauth: 'sk-ant-oat01-lab-token-of-nobody-0123456789' };

/**
 * Starts everything but a VM.
 * @param {{dir: string, image: object, proxies: object, group: string, vars?: object, trustAcme?: boolean,
 *   bucket?: boolean, provider?: string}} options `vars`: the Worker's configuration, besides what it needs; `bucket`: for backups
 */
export async function startLab({ dir, image, proxies, group, vars = {}, trustAcme = true, bucket, provider }) {
  mountControlGroups();
  const parts = [];
  const started = (part) => parts.push(part) && part;
  const ca = await testCa();
  started(startNetwork(dir));
  const front = started(await startFront({ ca }));
  const git = started(await startGit({ port: PORTS.git, dir: mkdir(dir, 'git') }));
  const gitSsh = started(await startGitSsh({ host: OUTSIDE, port: 22, git }));
  const anthropic = started(await startAnthropic({ port: PORTS.anthropic, keys: Object.values(KEYS) }));
  started(await startRegistry({ layout: image.containerLayout, port: PORTS.registry }));
  for (const host of ['git.test', 'github.com', 'elsewhere.test']) front.route(`https://${host}`, { port: PORTS.git });
  for (const host of ['api.anthropic.com', 'platform.claude.com', 'claude.ai']) front.route(`https://${host}`, { port: PORTS.anthropic });
  front.route('https://mcr.microsoft.com', { port: PORTS.registry });
  front.route(`https://${proxies.hosts.npm}`, { socketPath: proxies.npm });
  for (const host of [proxies.hosts.pypi, proxies.hosts.files]) front.route(`https://${host}`, { socketPath: proxies.pypi });
  front.route('http://*', { socketPath: proxies.apt });
  const acme = started(await startAcme({ dir, pebble: image.pebble, ca, front }));
  const cloud = started(await startCloud({
    dir, base: image.root, layers: image.layers, group, front,
    provider,
    bucket,
    rootCas: trustAcme ? [acme.root] : [],
    vars: { SSH_PUBLIC_KEY: SSH_KEY, ...vars },
  }));
  const metadata = started(await startMetadata({ instanceOf: cloud.instanceOf }));

  const lab = {
    dir, hosts: proxies.hosts, front, git, gitSsh, anthropic, acme, cloud, metadata, until, assert,
    api: (...args) => cloud.worker.api(...args),
    /** Creates a workspace through the API: `{id, password, vm, guest}`. */
    async create(body) {
      const answer = await lab.api('POST', '/vms', body);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      const { vm, password } = answer.body;
      const guest = await until('the guest boots', () => cloud.failure() ? Promise.reject(cloud.failure()) : cloud.guestOf(vm.id));
      return { id: vm.id, password, vm, guest };
    },
    vm: async (id) => (await lab.api('GET', `/vms/${id}`)).body.vm,
    /** Waits for a phase; a boot that fails meanwhile is an error that says why. */
    async phase(id, wanted, { timeoutMs = 420_000 } = {}) {
      return until(`phase ${wanted}`, async () => {
        const vm = await lab.vm(id);
        if (vm?.phase === 'failed' && wanted !== 'failed') throw new Failed(`the boot failed: ${JSON.stringify(vm.boot)}`);
        return vm?.phase === wanted && vm;
      }, { timeoutMs, everyMs: 250, fatal: Failed });
    },
    ready: (id, options) => lab.phase(id, 'ready', options),
    /** Waits until the provider has nothing left of a VM. */
    async gone(id, { timeoutMs = 300_000 } = {}) {
      await until('the VM is gone', async () => {
        const servers = await cloud.servers();
        return !servers.some((it) => it.vmId === id);
      }, { timeoutMs, everyMs: 500 });
    },
    /** Chromium in the lab. It trusts the door's certificate only where a test says that it looks at it itself. */
    async browser() {
      const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
      const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
      parts.push({ stop: () => browser.close() });
      return browser;
    },
    /** A picture for people, in tests/artifacts. */
    shoot: (page, name) => page.screenshot({ path: join(root, 'tests/artifacts', `vm-${name}.png`) }),
    keepLogs(to) {
      mkdirSync(to, { recursive: true });
      for (const guest of [...cloud.guests(), ...cloud.gone]) guest.keepLogs(join(to, `guest-${guest.id}`));
      writeFileSync(join(to, 'worker.json'), JSON.stringify(cloud.worker.logs(), null, 1));
      writeFileSync(join(to, 'front.json'), front.requests.map((it) => JSON.stringify(it)).join('\n'));
      writeFileSync(join(to, 'pebble.log'), acme.log());
    },
    async stop() {
      for (const part of parts.reverse()) await part.stop?.();
    },
  };
  return lab;
}

class Failed extends Error {}

function mkdir(...parts) {
  mkdirSync(join(...parts), { recursive: true });
  return join(...parts);
}

/** Guests want the unified hierarchy, whatever this machine has. */
function mountControlGroups() {
  if (readFileSync('/proc/self/mountinfo', 'utf8').includes(' /sys/fs/cgroup ')) must('umount', ['-R', '/sys/fs/cgroup']);
  must('mount', ['-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup']);
}

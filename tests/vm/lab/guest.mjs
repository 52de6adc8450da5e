// One guest: a container with systemd and cloud-init, booted from a throw-away layer over the base image with the very
// user data that the Worker sent. Test-time changes to it are all in `furnish`. When it boots and ends is cloud.mjs's.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../e2e/support/until.mjs';
import { GATEWAY, OUTSIDE, ip } from './network.mjs';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** How systemd-nspawn says that the guest wants to boot again. */
const REBOOT = 133;
let nth = 0;

/**
 * Prepares a guest; `boot` starts it.
 * @param {{dir: string, base: string, layers?: string[], id: string|number, name: string, address: string, userData: string, group: string, rootCas?: string[],
 *   from?: object}} options `layers`: over the base; `group`: below /sys/fs/cgroup; `from`: another guest, or a stored disk, of which this one gets a copy
 */
export function makeGuest({ dir, base, layers = [], id, name, address, userData, group, rootCas = [], from }) {
  const top = join(dir, `guest-${id}`);
  const disk = { up: join(top, 'up'), work: join(top, 'work'), docker: join(top, 'docker') };
  const root = join(top, 'root');
  const number = ++nth;
  const netns = `guest${number}`;
  mkdirSync(root, { recursive: true });
  for (const it of Object.values(disk)) mkdirSync(it, { recursive: true });
  if (from) {
    for (const part of ['up', 'docker']) must('cp', ['-a', '--sparse=always', `${from.disk[part]}/.`, disk[part]]);
  }
  must('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${[...layers, base].join(':')},upperdir=${disk.up},workdir=${disk.work}`, root]);
  if (existsSync(join(base, 'var/lib/docker')) && !from) must('cp', ['-a', `${join(base, 'var/lib/docker')}/.`, disk.docker]);
  const console = join(top, 'console.log');
  let process_;
  let boots = 0;
  let ended;

  const put = (path, text) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    rmSync(join(root, path), { force: true });
    writeFileSync(join(root, path), text);
  };
  /** What is changed for the lab: no datasource but the seed, an address from outside, the test CAs. */
  const furnish = () => {
    put('etc/cloud/cloud.cfg.d/99_lab.cfg', 'datasource_list: [NoCloud]\nnetwork: {config: disabled}\n');
    put('etc/resolv.conf', `nameserver ${OUTSIDE}\n`);
    put('var/lib/cloud/seed/nocloud/user-data', userData);
    put('var/lib/cloud/seed/nocloud/meta-data', `instance-id: ${id}\nlocal-hostname: ${name}\n`);
    if (boots === 0) put('etc/machine-id', '');
    rootCas.forEach((pem, index) => put(`usr/local/share/ca-certificates/lab-${index}.crt`, pem));
    if (rootCas.length > 0) must('chroot', [root, 'update-ca-certificates']);
  };

  const network = () => {
    ip('netns', 'add', netns);
    ip('link', 'add', `g${number}`, 'master', 'br0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    ip('link', 'set', `g${number}`, 'up');
    ip('-n', netns, 'link', 'set', 'lo', 'up');
    ip('-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
    ip('-n', netns, 'route', 'add', 'default', 'via', GATEWAY);
  };

  /** Starts it, and again when it reboots; `done` when it is off. */
  const start = (done) => {
    const out = openSync(console, 'a');
    const args = ['--quiet', '--boot', '--register=no', '--keep-unit', `--machine=g${number}`, `--directory=${root}`];
    args.push(`--network-namespace-path=/run/netns/${netns}`, '--resolv-conf=off', '--timezone=off', '--link-journal=no');
    args.push('--capability=all', '--system-call-filter=add_key keyctl bpf', `--bind=${disk.docker}:/var/lib/docker`);
    const env = { PATH, SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'yes', SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' };
    // A control group of its own: systemd wants to be the root of one.
    const inGroup = 'mkdir -p "$0" && echo $$ >"$0/cgroup.procs" && exec systemd-nspawn "$@"';
    process_ = spawn('sh', ['-c', inGroup, `/sys/fs/cgroup/${group}/${netns}-${++boots}`, ...args], { env, stdio: ['ignore', out, out] });
    process_.once('exit', (code) => {
      closeSync(out);
      if (code === REBOOT) {
        furnish();
        return start(done);
      }
      process_ = undefined;
      spawnSync('ip', ['netns', 'delete', netns]);
      spawnSync('ip', ['link', 'delete', `g${number}`]);
      return done(code);
    });
  };

  /** The pid of the guest's init, as seen here. */
  const leader = () => {
    const children = readFileSync(`/proc/${process_.pid}/task/${process_.pid}/children`, 'utf8').trim().split(' ');
    const found = children.find((pid) => pid && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('systemd'));
    if (!found) throw new Error('the guest has no init yet');
    return found;
  };

  const guest = {
    id, name, address, userData, root, disk, console,
    bootedAt: 0,
    isUp: () => process_ !== undefined,
    /** Switches it on. */
    boot() {
      if (process_) throw new Error('it runs already');
      furnish();
      network();
      guest.bootedAt = Date.now();
      ended = new Promise((done) => start(done));
      return guest;
    },
    /** Resolves when it is off. */
    off: () => ended,
    /** Power off without asking, as a provider does it. */
    async kill() {
      if (!process_) return;
      try {
        process.kill(Number(leader()), 'SIGKILL');
      } catch {
        process_?.kill('SIGKILL');
      }
      await ended;
    },
    /** The power button. */
    async shutdown() {
      if (!process_) return;
      process_.kill('SIGTERM');
      await ended;
    },
    /** A copy of its disk at this moment, in a folder of its own; it stands still meanwhile. */
    stored(to) {
      const freeze = (on) => process_ && writeFileSync(`/sys/fs/cgroup/${group}/${netns}-${boots}/cgroup.freeze`, on ? '1' : '0');
      freeze(true);
      try {
        spawnSync('sync');
        for (const part of ['up', 'docker']) {
          mkdirSync(join(to, part), { recursive: true });
          must('cp', ['-a', '--sparse=always', `${disk[part]}/.`, join(to, part)]);
        }
      } finally {
        freeze(false);
      }
      return { disk: { up: join(to, 'up'), docker: join(to, 'docker') } };
    },
    /** Kills it and gives its disk back. */
    async destroy() {
      await guest.kill();
      await until('the guest lets go of its disk', () => spawnSync('umount', [root]).status === 0 || !isMounted(root));
      if (!process.env.MAYFLY_LAB_KEEP) rmSync(top, { recursive: true, force: true });
    },
    /** Runs a shell script as root in the guest: `{status, out}`; status 124 when time is up. The stand-ins go on meanwhile. */
    run(script, { timeoutMs = 60_000, input = '' } = {}) {
      const args = ['--target', leader(), '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wdns=/'];
      args.push('env', '-i', `PATH=${PATH}`, 'HOME=/root', 'LANG=C.UTF-8', 'TERM=xterm', 'timeout', String(timeoutMs / 1000), 'bash', '-c', script);
      const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'pipe'] });
      let out = '';
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (out += text));
      child.stdin.on('error', () => {}).end(input);
      return new Promise((done, failed) => child.on('error', failed).on('close', (status) => done({ status: status ?? 1, out })));
    },
    /** The same, and what it prints; fails if it does. */
    async sh(script, options) {
      const { status, out } = await guest.run(script, options);
      if (status !== 0) throw new Error(`in the guest: ${script}\nstatus ${status}: ${out.slice(-3000)}`);
      return out.trim();
    },
    /** A shell script in the workspace's container, by the way that terminals take: what it prints, whatever its status. */
    async inside(script, options) {
      return (await guest.run(`exec /opt/mayfly/workspace/in-container sh -c ${quoted(script)} </dev/null`, options)).out.trim();
    },
    /** Changes its disk before it boots. */
    put,
    remove: (path) => rmSync(join(root, path), { recursive: true, force: true }),
    /** A file of its disk; works when it is off, too. Undefined when there is none. */
    read(path) {
      return existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
    },
    /** Keeps what tells why something failed. */
    keepLogs(to) {
      mkdirSync(to, { recursive: true });
      if (existsSync(console)) cpSync(console, join(to, 'console.log'));
      for (const path of ['var/log/mayfly', 'var/log/cloud-init.log', 'var/log/cloud-init-output.log', 'var/lib/cloud/data']) {
        if (existsSync(join(root, path))) spawnSync('cp', ['-r', join(root, path), to]);
      }
      if (existsSync(join(root, 'var/log/journal'))) {
        const journal = spawnSync('journalctl', ['--no-pager', '-q', '-D', join(root, 'var/log/journal')], { encoding: 'utf8', maxBuffer: 1 << 28 });
        writeFileSync(join(to, 'journal.log'), journal.stdout ?? '');
      }
    },
  };
  return guest;
}

/** For a shell: one word, as it is. */
function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function isMounted(path) {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
}

export function must(command, args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.stderr || done.error}`);
  return done.stdout;
}

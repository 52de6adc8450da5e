// A VM for the backup tests: created through the Worker's API, its first boot's files below a folder in place of /, and the VM's
// own script (cloud-init/workspace/backup.py) run there. What becomes of the work is the tests' business.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RESTIC, plant, survey } from './support.mjs';

const SCRIPTS = fileURLToPath(new URL('../../cloud-init/', import.meta.url));
export const REPO = 'https://github.com/octocat/Hello-World';

/** What is not here, or false. */
export const missing =
  [RESTIC, 'python3', 'git'].filter((it) => spawnSync(it, ['--version']).error).map((it) => `no ${it} here`)[0] ?? false;

/** What the tests need to know of a provider: its servers in the fake's state, and their addresses. */
const PROVIDERS = {
  hetzner: { servers: (state) => state.servers, address: (server) => server.public_net.ipv4.ip },
  ovh: { servers: (state) => state.ovh.instances, address: (server) => server.ipAddresses.find((it) => it.version === 4).ip },
};

/** One disk, on which one VM after the other boots. */
export function machine({ cloud, worker, root, provider = 'hetzner' }) {
  const { servers, address } = PROVIDERS[provider];
  const workspace = () => join(root, 'workspaces/Hello-World');
  const claude = () => join(root, 'home/dev/.claude');

  /** Creates a VM and puts on its empty disk what its first boot would. */
  const boot = async (request = {}, { token } = {}) => {
    const known = new Set(servers(await cloud.state()).map((it) => it.id));
    const created = await worker.api('POST', '/vms', { repo_url: REPO, ...request }, { token });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    const server = servers(await cloud.state()).find((it) => !known.has(it.id));
    const userData = await (await fetch(`${cloud.url}/_fake/servers/${server.id}/user-data`)).text();
    const file = fileOf(userData);
    const exchange = await fetch(`${worker.url}/vm/boot`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${file.capability}`,
        'cf-connecting-ip': address(server),
        'content-type': 'application/json',
      },
      body: JSON.stringify({ sealed: file.sealed }),
    });
    const secrets = await exchange.json();
    assert.equal(exchange.status, 200, JSON.stringify(secrets));
    await rm(root, { recursive: true, force: true });
    const put = async (path, text) => {
      await mkdir(join(root, path, '..'), { recursive: true });
      await writeFile(join(root, path), text, { mode: 0o600 });
    };
    await put('etc/mayfly/vm.json', JSON.stringify({ ...file, worker: worker.url }));
    await put('etc/mayfly/values/repo_name', 'Hello-World');
    for (const name of ['backup_password', 'backup_s3_secret', 'restore']) await put(`etc/mayfly/secrets/${name}`, secrets[name]);
    await mkdir(join(root, 'var/lib/mayfly'), { recursive: true });
    return { id: created.body.vm.id, vm: created.body.vm, secrets, machine: file, userData };
  };

  /** Runs the VM's script as a VM does. Resolves to its exit status and what it said; `path` comes before PATH. */
  const backup = (what, { path } = {}) => {
    const env = {
      PATH: [path, process.env.PATH].filter(Boolean).join(':'),
      MAYFLY_ROOT: root,
      PYTHONPATH: `${SCRIPTS}vm`,
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const child = spawn('python3', [`${SCRIPTS}workspace/backup.py`, what], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (out += chunk));
    return new Promise((done) => child.on('close', (code) => done({ code, out })));
  };

  /** Somebody's work: commits, changes, a conversation, a login. */
  const work = async () => {
    await mkdir(workspace(), { recursive: true });
    const git = (...args) => assert.equal(spawnSync('git', ['-C', workspace(), '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]).status, 0);
    git('init', '-q', '-b', 'main');
    await plant(workspace(), 2_000_000);
    git('add', 's0');
    git('commit', '-qm', 'some');
    await mkdir(join(claude(), 'projects/-workspaces-Hello-World'), { recursive: true });
    await writeFile(join(claude(), 'projects/-workspaces-Hello-World/session.jsonl'), '{"type":"user"}\n');
    await writeFile(join(claude(), '.credentials.json'), 'a login made by hand', { mode: 0o600 });
  };

  /** What there is of work. */
  const everything = async () => [...(await survey(workspace())), ...(await survey(claude()))];

  /** Old backups go once a day, whoever asks: also a VM that knows nothing of the last time. */
  const tidiesOnce = async () => {
    const tidied = await backup('tick');
    assert.equal(tidied.code, 0, tidied.out);
    assert.match(tidied.out, /tidied/);
    await rm(join(root, 'var/lib/mayfly/backup.json'));
    const again = await backup('tick');
    assert.equal(again.code, 0, again.out);
    assert.doesNotMatch(again.out, /tidied/);
  };

  return { boot, backup, work, workspace, claude, everything, tidiesOnce };
}

/** The VM's description, from its user data. */
function fileOf(userData) {
  const [, json] = /path: \/etc\/mayfly\/vm\.json\n.*\n\s+content: (".*")\n/.exec(userData);
  return JSON.parse(JSON.parse(json));
}

// The Git host's other way in: ssh, with keys that open some of its repositories, and the short-lived credential that LFS
// asks for there. The repositories are git.mjs's; nobody gets a shell.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';

const { Server, utils } = ssh2;

/**
 * Starts it.
 * @param {{host: string, port: number, git: object}} options `git`: what startGit gives
 */
export async function startGitSsh({ host, port, git }) {
  const keys = new Map();
  const requests = [];
  const server = new Server({ hostKeys: [keyPair().private] }, (client) => {
    const entry = { user: null, offered: [], command: null };
    requests.push(entry);
    let opens = new Set();
    client.on('authentication', (asked) => {
      entry.user = asked.username;
      if (asked.method !== 'publickey') return asked.reject(['publickey']);
      entry.offered.push(fingerprint(asked.key.data));
      const known = keys.get(fingerprint(asked.key.data));
      if (!known || asked.username !== 'git') return asked.reject(['publickey']);
      if (asked.signature && known.key.verify(asked.blob, asked.signature, asked.hashAlgo) !== true) return asked.reject();
      opens = known.opens;
      return asked.accept();
    });
    client.on('error', () => {});
    client.on('ready', () => client.on('session', (accept) => {
      accept().on('exec', (accepted, _, { command }) => {
        entry.command = command;
        answer(accepted(), command, git, opens);
      });
    }));
  });
  await new Promise((done, failed) => server.once('error', failed).listen(port, host, done));

  return {
    /** Every connection: user, fingerprints of the keys that were offered, the command. */
    requests,
    /** A new key pair without a passphrase: the private half in OpenSSH's format. */
    keyPair,
    fingerprint: (key) => fingerprint(utils.parseKey(key).getPublicSSH()),
    /** Lets whoever holds the key read and write these repositories. */
    allow(key, names) {
      const parsed = utils.parseKey(key);
      keys.set(fingerprint(parsed.getPublicSSH()), { key: parsed, opens: new Set(names) });
    },
    stop: () => server.close(),
  };
}

/** As people make one: of those that ssh2 makes, one in a few hundred cannot be read. */
function keyPair() {
  const dir = mkdtempSync(join(tmpdir(), 'lab-key-'));
  try {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'deploy', '-f', join(dir, 'key')]);
    return { private: readFileSync(join(dir, 'key'), 'utf8'), public: readFileSync(join(dir, 'key.pub'), 'utf8') };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const fingerprint = (blob) => `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

function answer(channel, command, git, opens) {
  const end = (code, why = '') => {
    if (why) channel.stderr.write(why);
    channel.exit(code);
    channel.end();
  };
  const [, what, , name, operation] = /^(git-upload-pack|git-receive-pack|git-lfs-authenticate) ('?)\/?([^' ]+?)(?:\.git)?\2(?: (download|upload))?$/.exec(command) ?? [];
  if (!what || !opens.has(name)) return end(128, 'ERROR: Repository not found.\n');
  if (what === 'git-lfs-authenticate') {
    const header = { Authorization: `Basic ${Buffer.from(`lfs:${git.tokenOf(name)}`).toString('base64')}` };
    channel.write(JSON.stringify({ href: `${git.url(name)}/info/lfs`, header, expires_in: 600, operation }));
    return end(0);
  }
  const child = spawn('git', ['-c', 'safe.directory=*', what.replace('git-', ''), git.folder(name)]);
  child.stdin.on('error', () => {});
  channel.on('error', () => child.kill());
  channel.pipe(child.stdin);
  child.stdout.pipe(channel, { end: false });
  child.stderr.pipe(channel.stderr, { end: false });
  child.on('close', (code) => end(code ?? 1));
  return undefined;
}

// `npm run setup`: asks for the provider's token, checks it there, makes the Worker's own keys, and writes
// .secrets.json. Without a terminal everything comes from the environment. Running it again keeps what there is, and
// replaces what the environment gives anew. It uploads nothing: that is deploy.mjs.
import { randomBytes } from 'node:crypto';
import { newSigningKey } from './local-config.mjs';
import { main, say } from './prepare.mjs';
import { readSecrets, secretsFile, writeSecrets } from './secrets.mjs';

const HETZNER_API_URL = process.env.HETZNER_API_URL ?? 'https://api.hetzner.cloud/v1';
const TIMEOUT_MS = 15_000;
/** Taken from the environment if they are there: what workspaces get by default. */
const OPTIONAL = ['HETZNER_VM_TOKEN', 'ANTHROPIC_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'GIT_TOKEN', 'API_TOKENS'];

await main(async () => {
  const secrets = readSecrets();
  secrets.HETZNER_TOKEN = await hetznerToken(secrets.HETZNER_TOKEN);
  for (const name of OPTIONAL) if (process.env[name]) secrets[name] = process.env[name];

  const make = (name, value) => {
    if (process.env[name]) secrets[name] = process.env[name];
    say(secrets[name] ? `${name}: kept` : `${name}: made`);
    secrets[name] ??= value();
  };
  make('API_TOKEN', () => randomBytes(24).toString('base64url'));
  make('SIGNING_KEY', newSigningKey);
  make('BACKUP_KEY', () => randomBytes(32).toString('base64url'));
  writeSecrets(secrets);
  say(`written: ${secretsFile} (only you can read it). Next: npm run deploy`);
});

/** A token that may write, from the environment, the file or the terminal. */
async function hetznerToken(kept) {
  const given = process.env.HETZNER_TOKEN || kept;
  if (given) {
    const problem = await problemOf(given);
    if (!problem) {
      say(`HETZNER_TOKEN: ${given === kept ? 'kept' : 'taken from the environment'}, Hetzner accepts it`);
      return given;
    }
    if (process.env.HETZNER_TOKEN || !process.stdin.isTTY) throw new Error(`HETZNER_TOKEN: ${problem}`);
    say(`the token in ${secretsFile}: ${problem}`);
  }
  if (!process.stdin.isTTY) throw new Error('HETZNER_TOKEN is missing: set it, or run this in a terminal to be asked');
  say('Hetzner Cloud: create a project, then an API token with Read & Write (Security, API tokens).');
  // Raw from before the first question to after the last: typing ahead must not show either.
  process.stdin.setRawMode(true);
  try {
    for (;;) {
      const token = await ask('Hetzner token (not shown): ');
      const problem = await problemOf(token);
      if (!problem) return token;
      say(problem);
    }
  } finally {
    process.stdin.setRawMode(false);
  }
}

/**
 * Why a token cannot be used, or undefined. The write is one that cannot succeed, a key without name and content: a
 * token that may write is told so (422), one that may not is refused before (403).
 */
async function problemOf(token) {
  if (!/^[\x21-\x7e]{8,}$/.test(token)) return 'this is no token';
  const read = await call('GET', '/servers?per_page=1', token);
  if (read.status === 401) return 'Hetzner does not know this token';
  if (read.status !== 200) return `Hetzner answered ${read.status}; try again later`;
  const write = await call('POST', '/ssh_keys', token);
  if (write.code === 'token_readonly' || write.status === 403) return 'this token may only read: create one with Read & Write';
  if (write.status !== 422 && write.status !== 400) return `Hetzner answered ${write.status}; try again later`;
  return undefined;
}

async function call(method, path, token) {
  const headers = { authorization: `Bearer ${token}` };
  if (method === 'POST') headers['content-type'] = 'application/json';
  const body = method === 'POST' ? '{}' : undefined;
  let response;
  try {
    response = await fetch(HETZNER_API_URL + path, { method, headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new Error(`Hetzner cannot be reached (${error.cause?.code ?? error.name})`);
  }
  const answer = await response.json().catch(() => ({}));
  return { status: response.status, code: answer.error?.code };
}

/** A line from the terminal, which is raw: it shows nothing, and leaves its control keys to us. */
function ask(question) {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((done, failed) => {
    let line = '';
    const take = (text) => {
      for (const char of text) {
        const isEnd = char === '\r' || char === '\n';
        if (isEnd || char === '\u0003' || char === '\u0004') {
          stdin.pause();
          stdin.off('data', take);
          stderr.write('\r\n');
          if (isEnd) done(line.trim());
          else failed(new Error('interrupted; nothing was written'));
          return;
        }
        if (char === '\u007f' || char === '\b') line = line.slice(0, -1);
        else if (char >= ' ') line += char;
      }
    };
    stdin.on('data', take);
  });
}

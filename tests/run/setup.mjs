// `npm run setup`: asks for a provider's keys, checks them there, makes the Worker's own keys, and writes .secrets.json.
// Without a terminal everything comes from the environment. Running it again keeps what there is, and replaces what the
// environment gives anew; so a second provider is added. It uploads nothing: that is deploy.mjs.
import { randomBytes } from 'node:crypto';
import { newSigningKey } from './local-config.mjs';
import { main, say } from './prepare.mjs';
import { PROVIDERS, secretOf } from './providers.mjs';
import { readSecrets, secretsFile, writeSecrets } from './secrets.mjs';

/** Taken from the environment if they are there: what workspaces get by default, and who may use the API. */
const OPTIONAL = ['ANTHROPIC_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'GIT_TOKEN', 'API_TOKENS'];

await main(async () => {
  const secrets = readSecrets();
  const wanted = PROVIDERS.filter((it) => [secretOf(it), it.instead].some((key) => key && (process.env[key] || secrets[key])));
  await raw(async () => {
    for (const provider of wanted) await known(provider, secrets);
    if (wanted.length === 0) await asked(secrets);
  });
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

/** A provider whose keys are in the environment or the file: checked, and asked for again if that helps. */
async function known(provider, secrets) {
  const names = [...provider.keys.map((it) => it.name), ...provider.more];
  const given = names.filter((name) => process.env[name]);
  for (const name of given) secrets[name] = process.env[name];
  const secret = secretOf(provider);
  const problem = await problemOf(provider, secrets);
  if (!problem) {
    say(`${secret}: ${given.includes(secret) ? 'taken from the environment' : 'kept'}, ${provider.check ? `${provider.title} accepts it` : 'to be checked by GET /health/providers'}`);
    return;
  }
  if (given.length > 0 || !process.stdin.isTTY) throw new Error(`${secret}: ${problem}`);
  say(`the keys in ${secretsFile}: ${problem}`);
  await ask(provider, secrets);
}

/** Nothing is known yet: which provider, and its keys. */
async function asked(secrets) {
  if (!process.stdin.isTTY) {
    const others = PROVIDERS.slice(1).map(secretOf).join(', ');
    throw new Error(`HETZNER_TOKEN is missing: set it (or another provider's: ${others}), or run this in a terminal to be asked`);
  }
  const names = PROVIDERS.map((it) => it.name);
  for (;;) {
    const name = (await line(`Provider (${names.join(', ')}) [hetzner]: `, { shown: true })) || 'hetzner';
    const provider = PROVIDERS.find((it) => it.name === name.toLowerCase());
    if (provider) return ask(provider, secrets);
    say(`there is no ${name}`);
  }
}

/** Asks for the keys until they can be used. */
async function ask(provider, secrets) {
  say(`${provider.title}: ${provider.hint}.`);
  for (;;) {
    for (const { name, label, secret } of provider.keys) {
      secrets[name] = await line(`${label}${secret ? ' (not shown)' : ''}: `, { shown: !secret });
    }
    const problem = await problemOf(provider, secrets);
    if (!problem) return;
    say(problem);
  }
}

/** Why the keys cannot be used, or undefined. */
async function problemOf(provider, secrets) {
  const { instead } = provider;
  for (const { name } of instead && secrets[instead] ? [] : provider.keys) {
    if (!/^[\x21-\x7e]{3,}$/.test(secrets[name] ?? '')) return secrets[name] ? `${name}: this is no token or id` : `${name} is missing`;
  }
  return provider.check?.(secrets);
}

/** Raw from before the first question to after the last: typing ahead must not show either. */
async function raw(what) {
  if (!process.stdin.isTTY) return what();
  process.stdin.setRawMode(true);
  try {
    return await what();
  } finally {
    process.stdin.setRawMode(false);
  }
}

/** A line from the terminal, which is raw: it shows nothing by itself, and leaves its control keys to us. */
function line(question, { shown = false } = {}) {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((done, failed) => {
    let typed = '';
    const take = (text) => {
      for (const char of text) {
        const isEnd = char === '\r' || char === '\n';
        if (isEnd || char === '\u0003' || char === '\u0004') {
          stdin.pause();
          stdin.off('data', take);
          stderr.write('\r\n');
          if (isEnd) done(typed.trim());
          else failed(new Error('interrupted; nothing was written'));
          return;
        }
        if (char === '\u007f' || char === '\b') {
          if (shown && typed !== '') stderr.write('\b \b');
          typed = typed.slice(0, -1);
        } else if (char >= ' ') {
          typed += char;
          if (shown) stderr.write(char);
        }
      }
    };
    stdin.on('data', take);
  });
}

// The file of secrets that `npm run setup` writes and `npm run deploy` uploads: JSON, names to values, for nobody else
// to read. What goes into it is decided in setup.mjs.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './prepare.mjs';

/** SECRETS_FILE names another file, for a second deployment. */
export const secretsFile = process.env.SECRETS_FILE ?? join(root, '.secrets.json');

export function readSecrets() {
  if (!existsSync(secretsFile)) return {};
  try {
    return JSON.parse(readFileSync(secretsFile, 'utf8'));
  } catch {
    // Its own message would quote the file.
    throw new Error(`${secretsFile} is not JSON`);
  }
}

/** Replaces the file at once, so that an interruption cannot cost the keys. */
export function writeSecrets(secrets) {
  const fresh = `${secretsFile}.new`;
  writeFileSync(fresh, `${JSON.stringify(secrets, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(fresh, secretsFile);
}

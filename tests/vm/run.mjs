// The boot lab: boots what the Worker generates in real guests. `npm run test:vm -- <scenario>…`; `--list` names them;
// without arguments all. Prepares images, Worker and fake cloud, then runs each scenario in namespaces of its own.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from '../run/prepare.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const given = process.argv.slice(2);
const known = readdirSync(join(HERE, 'scenarios')).filter((it) => it.endsWith('.mjs')).map((it) => it.slice(0, -4)).sort();

if (given.includes('--list')) {
  for (const name of known) process.stdout.write(`${name.padEnd(16)} ${about(name)}\n`);
  process.exit(0);
}
const unknown = given.filter((it) => !known.includes(it));
if (unknown.length > 0) {
  process.stderr.write(`no such scenario: ${unknown.join(', ')}; npm run test:vm -- --list names them\n`);
  process.exit(2);
}

await prepare();
const { runScenarios } = await import('./scenarios.mjs');
const counts = await runScenarios(given.length > 0 ? given : known);
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exit(counts.failed > 0 ? 1 : 0);

/** The first line of a scenario's file. */
function about(name) {
  return readFileSync(join(HERE, 'scenarios', `${name}.mjs`), 'utf8').split('\n')[0].replace(/^\/\/ /, '');
}

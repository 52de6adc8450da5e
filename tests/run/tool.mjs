// Runs a script of this repository with the pinned tools installed, the Worker built and a Node that wrangler accepts:
//   node tests/run/tool.mjs <script> [arguments…]
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildWorker, main, prepare, toolEnv } from './prepare.mjs';

await main(async () => {
  const [script, ...args] = process.argv.slice(2);
  if (!script) throw new Error('usage: node tests/run/tool.mjs <script> [arguments…]');
  await prepare();
  await buildWorker();
  Object.assign(process.env, toolEnv());
  process.argv = [process.argv[0], resolve(script), ...args];
  await import(pathToFileURL(resolve(script)));
});

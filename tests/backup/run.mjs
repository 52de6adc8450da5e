// `npm run test:backup`: restic against the Worker.
//   npm run test:backup -- --size 2G     with a tree of this size (K, M, G); the default is what `npm test` has
import { runAndExit } from '../run/sum.mjs';

const UNITS = { K: 1e3, M: 1e6, G: 1e9 };
const [flag, text, ...more] = process.argv.slice(2);
const size = /^(\d+(?:\.\d+)?)([KMG])$/.exec(text ?? '');
if (flag !== undefined && (flag !== '--size' || !size || more.length > 0)) {
  process.stderr.write('npm run test:backup -- [--size 2G]: a number and K, M or G\n');
  process.exit(2);
}
if (size) process.env.BACKUP_BYTES = String(Math.round(Number(size[1]) * UNITS[size[2]]));

await runAndExit(async () => {
  const { SUITES } = await import('../run/suites.mjs');
  return SUITES.filter((it) => it.name === 'backup');
});

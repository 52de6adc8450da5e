// `npm test`: sets up what is missing, runs the suites of suites.mjs, and ends with the sum of their numbers.
//   npm test -- --list        names the suites and their files
//   npm test -- <filter>…     runs the suites whose name, or the test files whose path, contains one of the filters
import { runAndExit } from './sum.mjs';

const given = process.argv.slice(2);
const unknown = given.find((it) => it.startsWith('-') && it !== '--list');
if (unknown) {
  process.stderr.write(`unknown option ${unknown}: npm test -- [--list] [filter…]\n`);
  process.exit(2);
}
if (given.includes('--list')) {
  const { SUITES } = await import('./suites.mjs');
  for (const { name, files = [] } of SUITES) process.stdout.write([name, ...files.map((it) => `  ${it}`), ''].join('\n'));
  process.exit(0);
}

/** The suites to run, with the files of those that are made of files. */
function chosen(suites) {
  const hits = (text) => given.some((it) => text.includes(it));
  return suites.flatMap((suite) => {
    if (given.length === 0 || hits(suite.name)) return suite.files?.length === 0 ? [] : [suite];
    const files = suite.files?.filter(hits) ?? [];
    return files.length > 0 ? [{ ...suite, files }] : [];
  });
}

await runAndExit(async () => {
  const { SUITES } = await import('./suites.mjs');
  const suites = chosen(SUITES);
  if (suites.length === 0) throw new Error(`nothing matches ${given.join(' ')}; npm test -- --list names the suites`);
  return suites;
});

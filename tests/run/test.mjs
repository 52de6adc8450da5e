// `npm test`: sets up what is missing, runs the suites of suites.mjs, and ends with the sum of their numbers.
//   npm test -- --list        names the suites and their files
//   npm test -- <filter>…     runs the suites whose name, or the test files whose path, contains one of the filters
import { prepare, say } from './prepare.mjs';

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

/** Runs one suite, after what it needs. What cannot be set up counts as a failure. */
async function runSuite({ files, needs = [], run }, done) {
  try {
    for (const need of needs) {
      if (!done.has(need)) await need();
      done.add(need);
    }
    return await run(files);
  } catch (error) {
    say(error.message);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const failing = [];
try {
  await prepare();
  const { SUITES } = await import('./suites.mjs');
  const suites = chosen(SUITES);
  if (suites.length === 0) throw new Error(`nothing matches ${given.join(' ')}; npm test -- --list names the suites`);
  const done = new Set();
  for (const suite of suites) {
    const since = Date.now();
    process.stdout.write(`\n== ${suite.name}\n`);
    const counts = await runSuite(suite, done);
    for (const key of Object.keys(sum)) sum[key] += counts[key];
    if (counts.failed > 0) failing.push(suite.name);
    const seconds = Math.round((Date.now() - since) / 1000);
    process.stdout.write(`-- ${suite.name}: ${text(counts)}, ${seconds} s\n`);
  }
} catch (error) {
  say(error.message);
  sum.failed += 1;
}
if (failing.length > 0) process.stdout.write(`\nfailing: ${failing.join(', ')}\n`);
process.stdout.write(`\n${text(sum)}\n`);
process.exit(sum.failed === 0 ? 0 : 1);

function text({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

// Runs suites one after the other, shows what each counted, and ends this process with the sum of their numbers as its last
// line. Which suites there are is in suites.mjs; which of them run, the caller says.
import { prepare, say } from './prepare.mjs';

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

function text({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** @param choose resolves to the suites, once everything that a script of ours relies on is there */
export async function runAndExit(choose) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const failing = [];
  try {
    await prepare();
    const done = new Set();
    for (const suite of await choose()) {
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
}

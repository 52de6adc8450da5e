// `npm run test:contract -- [provider…]`: what Mayfly promises of a provider, natively before a scripted network and in workerd
// before the fake cloud. Without a name it is all of them. The last line is the sum.
import { FAKE_PROVIDERS } from './fake-providers.mjs';
import { runAndExit } from './sum.mjs';

const given = process.argv.slice(2);
const unknown = given.filter((it) => !FAKE_PROVIDERS.includes(it));
if (unknown.length > 0) {
  process.stderr.write(`no provider ${unknown.join(', ')}: npm run test:contract -- [${FAKE_PROVIDERS.join(' | ')}]\n`);
  process.exit(2);
}
const providers = given.length > 0 ? given : FAKE_PROVIDERS;

await runAndExit(async () => {
  const { contractSuites } = await import('./suites.mjs');
  return contractSuites(providers);
});

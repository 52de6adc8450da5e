// `npm run test:contract -- [provider…]`: what Mayfly promises of a provider, natively before a scripted network and in workerd
// before the fake cloud (EC2: before moto). Without a name it is all of them. The last line is the sum.
import { FAKE_PROVIDERS, SIMULATED } from './fake-providers.mjs';
import { runAndExit } from './sum.mjs';

const known = [...FAKE_PROVIDERS, ...SIMULATED];
const given = process.argv.slice(2);
const unknown = given.filter((it) => !known.includes(it));
if (unknown.length > 0) {
  process.stderr.write(`no provider ${unknown.join(', ')}: npm run test:contract -- [${known.join(' | ')}]\n`);
  process.exit(2);
}
const providers = given.length > 0 ? given : known;

await runAndExit(async () => {
  const { contractSuites } = await import('./suites.mjs');
  return contractSuites(providers);
});

// `npm run test:model -- --histories n --seed n`: random histories of people, clocks and faults on one account, natively (tests/model.rs)
// and in workerd (tests/e2e/model.test.mjs). A failure names its seed. The last line is the sum.
import { parseArgs } from 'node:util';
import { runAndExit } from './sum.mjs';

const usage = 'npm run test:model -- [--histories <number>] [--seed <number>]\n';

function given() {
  const { values } = parseArgs({ options: { histories: { type: 'string' }, seed: { type: 'string' } } });
  for (const [name, value] of Object.entries(values)) {
    if (!/^\d{1,15}$/.test(value)) throw new Error(`--${name} must be a number, not ${value}`);
  }
  return values;
}

let values;
try {
  values = given();
} catch (error) {
  process.stderr.write(`${error.message}\n${usage}`);
  process.exit(2);
}
if (values.histories) {
  process.env.MODEL_HISTORIES = values.histories;
  // There a history takes seconds and not milliseconds.
  process.env.MODEL_WORKERD_HISTORIES = String(Math.min(Number(values.histories), 10));
}
if (values.seed) process.env.MODEL_SEED = values.seed;

await runAndExit(async () => {
  const { modelSuites } = await import('./suites.mjs');
  return modelSuites();
});

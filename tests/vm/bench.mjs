// `npm run bench:boot`: how long a boot takes and what it waits for, measured in the boot lab.
import { prepare } from '../run/prepare.mjs';

await prepare();
const { runScenarios } = await import('./scenarios.mjs');
const counts = await runScenarios(['warm-times', 'cold-times'], { folder: 'bench' });
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
process.exit(counts.failed > 0 ? 1 : 0);

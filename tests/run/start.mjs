// `npm start`: the Worker and the page on one port of this machine, with the fake cloud behind them unless a provider's
// secret is set. Sets up what is missing first. Ends, with everything that it started, on a signal or when a part dies.
import { main, prepare } from './prepare.mjs';

await main(async () => {
  await prepare();
  // Only now: what it imports needs a newer Node than this may have been.
  const { startLocal } = await import('./local.mjs');
  await startLocal();
});

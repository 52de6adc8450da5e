// `npm run bench [-- --quick]`: the Worker beside the same API in JavaScript (peer/, on Hono) and beside a bare fetch
// (control/), each in its own workerd on this machine, in one run. Latency and CPU time per request for the routes that
// a page polls, an agent's answer on its way, start-up, size. The last lines are for programs. `--quick` runs everything once, briefly: it shows that
// the bench works, and its figures mean little.
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { main, onSignal, root, say } from '../run/prepare.mjs';
import { benchAgent } from './agent.mjs';
import { assertSame } from './same.mjs';
import { TOKENS, bundles, startWorker } from './workers.mjs';

const isQuick = process.argv.includes('--quick');
const ROUNDS = isQuick ? 1 : 5;
const STARTS = isQuick ? 1 : 7;
const LARGE = 500;
const START_TIMEOUT_MS = 15_000;
const [WARM_UP_MS, SETTLE_MS] = isQuick ? [1, 1] : [2000, 250];
const CASES = [
  { name: 'vms_50', title: 'GET /vms, 50 servers', ...list('fifty', 50), connections: 8, ms: 3200 },
  { name: 'vms_500', title: `GET /vms, ${LARGE} servers`, ...list('many', LARGE), connections: 4, ms: 3600 },
  { name: 'healthz', title: 'GET /healthz', path: '/healthz', headers: {}, connections: 8, ms: 1800, least: 1000 },
].map((it) => ({ least: 40, ...it, ms: isQuick ? 1 : it.ms }));

function list(owner, count) {
  // The control knows no tokens: it is told whose servers to fetch, and how many there are.
  return { path: '/vms', headers: { authorization: `Bearer ${TOKENS[owner]}`, 'x-owner': owner, 'x-servers': count } };
}

const children = [];
const endAll = () => Promise.all(children.map((it) => it.stop()));
onSignal(() => endAll().then(() => process.exit(1)));
await main(() => bench().finally(endAll));

async function bench() {
  if (process.platform !== 'linux') say('bench: CPU time is read from /proc, which only Linux has: latency alone is measured');
  if (!existsSync(join(root, 'build/worker.js'))) throw new Error('build/worker.js is missing: `npm run bench` builds it');
  const variants = bundles();
  const provider = await forkReady('provider.mjs', String(LARGE));
  const load = forked('load.mjs');
  say(`bench: ${variants.length} Workers, ${ROUNDS} interleaved rounds`);

  const starts = await measureStarts(variants, provider.port);
  for (const variant of variants) {
    variant.worker = await start(variant, provider.port);
  }
  const [ours, peer] = variants;
  await assertSame(ours.worker.port, peer.worker.port);
  say('bench: Mayfly and Hono give the same answers');

  const measured = await measureRounds(variants, load);
  const agent = await benchAgent({ ...(isQuick ? { rounds: 1, requests: 1, everyMs: 1 } : { rounds: 3, requests: 20 }), start, forkReady, median });
  print(variants, starts, measured, provider.bytes, agent);
}

/** Each round measures every case on every variant, one after the other; who comes first changes from round to round. */
async function measureRounds(variants, load) {
  for (const test of CASES) {
    for (const { worker } of variants) await load.ask({ ...test, port: worker.port, ms: WARM_UP_MS });
  }
  const measured = new Map(CASES.map((test) => [test, variants.map(() => [])]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const test of CASES) {
      for (let turn = 0; turn < variants.length; turn++) {
        const at = (turn + round) % variants.length;
        const { worker } = variants[at];
        // What the case before left to be cleared away is not this one's.
        await load.ask({ ...test, port: worker.port, ms: SETTLE_MS });
        const before = worker.cpuSeconds();
        const result = await load.ask({ ...test, port: worker.port });
        if (before !== null) result.cpu = ((worker.cpuSeconds() - before) * 1e6) / result.requests;
        measured.get(test)[at].push(result);
      }
    }
    if (!isQuick) say(`bench: round ${round + 1} of ${ROUNDS}`);
  }
  return measured;
}

/** From the start of the process to the first answer, and the CPU time until then. */
async function measureStarts(variants, providerPort) {
  const starts = variants.map(() => []);
  for (let round = 0; round < STARTS; round++) {
    for (const [at, variant] of variants.entries()) {
      const begun = performance.now();
      const worker = await start(variant, providerPort);
      starts[at].push({ ms: performance.now() - begun, cpuMs: (worker.cpuSeconds() ?? NaN) * 1000 });
      await worker.child.stop();
    }
  }
  return starts.map((all) => ({ ms: median(all.map((it) => it.ms)), cpuMs: median(all.map((it) => it.cpuMs)) }));
}

/** Resolves when the Worker answers. */
async function start(variant, providerPort) {
  const worker = await startWorker(variant, providerPort);
  children.push(worker.child);
  let ended;
  worker.child.ended.then((how) => (ended = how));
  for (const until = Date.now() + START_TIMEOUT_MS; ; await sleep(1)) {
    const response = await fetch(`http://127.0.0.1:${worker.port}/healthz`).catch(() => undefined);
    if ((await response?.text()) !== undefined && response.status === 200) return worker;
    if (ended || Date.now() > until) {
      throw new Error(`${variant.title} does not answer (${ended ?? response?.status}):\n${worker.child.tail()}`);
    }
  }
}

/** A process of ours that answers messages; it ends when this one does. */
function forked(script, ...args) {
  const child = fork(join(root, 'tests/bench', script), args);
  const stop = () => child.kill('SIGKILL');
  children.push({ stop });
  let waiting;
  child.on('message', (it) => waiting?.done(it));
  child.on('exit', () => waiting?.failed(new Error(`${script} ended`)));
  const message = () => new Promise((done, failed) => (waiting = { done, failed }));
  return {
    message,
    async ask(order) {
      const answer = message();
      child.send(order);
      const { result, error } = await answer;
      if (error) throw new Error(`GET ${order.path}: ${error}`);
      return result;
    },
  };
}

async function forkReady(...args) {
  return forked(...args).message();
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function print(variants, starts, measured, bytes, agent) {
  const lines = [];
  const row = (title, ...cells) => lines.push(title.padEnd(14) + cells.map((it) => String(it).padStart(13)).join(''));
  const micros = (value) => (Number.isFinite(value) ? value.toFixed(0) : '-');
  for (const [test, results] of measured) {
    const answer = { vms_50: bytes.fifty, vms_500: bytes.many }[test.name];
    const from = answer ? `, ${Math.round(answer / 1000)} KB from the provider` : '';
    lines.push('', `${test.title} (${test.connections} connections${from})`);
    row('', 'requests/s', 'p50 µs', 'p99 µs', 'CPU µs');
    for (const [at, { title }] of variants.entries()) {
      const of = (key) => median(results[at].map((it) => it[key] ?? NaN));
      row(title, micros(of('perSecond')), micros(of('p50')), micros(of('p99')), micros(of('cpu')));
    }
  }
  lines.push('', 'Start-up to the first answer, and size');
  row('', 'ms', 'CPU ms', 'KB', 'KB gzip');
  for (const [at, { title, raw, gzip }] of variants.entries()) {
    const { ms, cpuMs } = starts[at];
    row(title, ms.toFixed(0), micros(cpuMs), (raw / 1024).toFixed(1), (gzip / 1024).toFixed(1));
  }
  lines.push(...agent.lines);
  lines.push('', `Medians of ${ROUNDS} interleaved rounds; below, ours over Hono's, medians of each round's ratio.`, '');

  const ratio = (name, key) => {
    const [ours, peer] = measured.get(CASES.find((it) => it.name === name));
    return median(ours.map((it, round) => it[key] / peer[round][key]));
  };
  const cpu = CASES.map(({ name }) => [`${name}_cpu`, ratio(name, 'cpu')]);
  for (const [name, value] of [...cpu, ['vms_50_p99', ratio('vms_50', 'p99')]]) {
    if (Number.isFinite(value)) lines.push(`ratio ${name} ${value.toFixed(3)}`);
  }
  for (const [name, value] of agent.figures) {
    if (Number.isFinite(value)) lines.push(`cpu ${name} ${value.toFixed(1)}`);
  }
  lines.push(`size gzip_kb ${(variants[0].gzip / 1024).toFixed(1)}`);
  console.log(lines.join('\n'));
}

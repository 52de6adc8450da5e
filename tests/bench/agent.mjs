// CPU of an agent's answer on its way through the Worker, for a thousand events: passed on only, counted, and beside them a bare
// pass and a look at each event. All of the process, the kernel's part for its connections included; what the Worker itself
// adds is the difference to the bare pass.
import { join } from 'node:path';
import { root } from '../run/prepare.mjs';
import { capability } from '../backup/support.mjs';
import { make, script } from './workers.mjs';

const EVENTS = 1000;
/** As fast as a model writes. */
const EVERY_MS = 20;
const WASM = join(root, 'build/index_bg.wasm');
/** What is asked of each: a conversation's question is long. */
const BODY = JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'x'.repeat(50_000) }] });

/** @returns lines for people, and for programs */
export async function benchAgent({ rounds, requests, everyMs = EVERY_MS, start, forkReady, median }) {
  const upstream = await forkReady('agent/upstream.mjs', String(EVENTS), String(everyMs));
  const here = (name) => join(root, 'tests/bench/agent', name);
  const bindings = { AGENT_PROXY: 'on', AGENT_UPSTREAM_URL: `http://127.0.0.1:${upstream.port}`, ANTHROPIC_API_KEY: 'bench-key' };
  const variants = [
    make('agent-counted', 'counted', script('agent-counted', here('counting.js'), '--external:./index_bg.wasm'), WASM),
    make('agent-passed', 'passed on', script('agent-passed', join(root, 'build/worker.js'), '--external:./index_bg.wasm'), WASM),
    make('agent-bare', 'bare pass', script('agent-bare', here('pass.js'))),
    make('agent-every', 'each looked at', script('agent-every', here('every.js'))),
  ].map((it) => ({ ...it, bindings }));
  for (const it of variants) it.worker = await start(it, 1);
  const spent = new Map(variants.map((it) => [it, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const it of variants) {
      // What is compiled late is so in one answer.
      if (round === 0) await answer(it.worker.port, upstream.bytes);
      const before = it.worker.cpuSeconds();
      await Promise.all(Array.from({ length: requests }, () => answer(it.worker.port, upstream.bytes)));
      // What is counted is looked at a few times a second: the last time after the end.
      await new Promise((go) => setTimeout(go, 300));
      if (before !== null) spent.get(it).push(((it.worker.cpuSeconds() - before) * 1000) / requests);
    }
  }
  const lines = ['', `An agent's answer of ${EVENTS} events, ${Math.round(upstream.bytes / 1000)} KB: CPU ms of the whole process`];
  for (const [it, values] of spent) lines.push(`${it.title.padEnd(16)}${(values.length > 0 ? median(values) : NaN).toFixed(1).padStart(8)}`);
  const [counted, , bare] = [...spent.values()].map(median);
  return { lines, figures: [['agent_counted_ms', counted], ['agent_added_ms', counted - bare]] };
}

async function answer(port, bytes) {
  const key = capability('agent', '', { owner: 'default', signingKey: 'k1:bench-bench-bench-bench-bench-bench-bench' });
  const response = await fetch(`http://127.0.0.1:${port}/vm/anthropic/v1/messages`, { method: 'POST', headers: { 'x-api-key': key }, body: BODY });
  let got = 0;
  for await (const chunk of response.body) got += chunk.length;
  if (response.status !== 200 || got !== bytes) throw new Error(`an answer of ${response.status} with ${got} bytes instead of ${bytes}`);
}

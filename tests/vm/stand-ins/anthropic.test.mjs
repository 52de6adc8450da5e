// The scripted Messages API by itself: streams, packed questions, planned tools and errors. The real client is the scenarios'.
import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { startAnthropic } from './anthropic.mjs';

const PORT = 19302;
const tools = [{ name: 'Bash' }];

test('answers as planned', async (t) => {
  const lab = await startAnthropic({ port: PORT, keys: ['good'] });
  t.after(() => lab.stop());
  const ask = (body, headers = {}) => fetch(`http://127.0.0.1:${PORT}/v1/messages?beta=true`, {
    method: 'POST', body: gzipSync(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], tools, ...body })),
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', 'x-api-key': 'good', ...headers },
  });
  lab.say('the end');
  lab.plan([{ tool: 'Bash', input: { command: 'true' } }, { status: 429 }]);
  const used = await (await ask({})).json();
  assert.equal(used.stop_reason, 'tool_use');
  assert.deepEqual(used.content[0].input, { command: 'true' });
  assert.equal((await ask({})).status, 429);
  const stream = await (await ask({ stream: true })).text();
  assert.match(stream, /event: message_start[^]*"text":"the end"[^]*event: message_stop/);
  assert.equal((await ask({}, { 'x-api-key': 'bad' })).status, 401);
  assert.deepEqual(lab.requests.map((it) => it.key), [0, 0, 0, -1]);
  assert.equal(lab.requests[0].prompt, 'hi');
});

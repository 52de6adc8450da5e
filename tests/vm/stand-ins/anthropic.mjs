// A scripted Messages API: what Claude Code talks to in the lab. Answers each prompt with the next thing of its plan, as a
// stream of events when asked for one, and writes down who asked with which key. Understands nothing.
import http from 'node:http';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';

const MODEL = 'claude-lab';
/** Claude Code compresses long questions. */
const UNPACK = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync };
const ERRORS = { 400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error', 429: 'rate_limit_error', 529: 'overloaded_error' };

/**
 * Starts it on the loopback address.
 * @param {{port: number, keys: string[]}} options `port`: 0 for any; `keys`: API keys and OAuth tokens that it accepts
 */
export async function startAnthropic({ port, keys }) {
  const requests = [];
  let plan = [];
  let otherwise = 'Nothing was planned.';
  let pauseMs = 0;
  let nth = 0;

  const server = http.createServer((request, response) => {
    read(request).then((text) => answer(request, response, text)).catch((error) => problem(response, 500, 'api_error', error.message));
  });
  async function answer(request, response, text) {
    const key = request.headers['x-api-key'] ?? request.headers.authorization?.replace(/^Bearer /i, '') ?? '';
    const path = request.url.split('?')[0];
    const body = /json/.test(request.headers['content-type'] ?? '') && text ? JSON.parse(text) : {};
    const entry = { method: request.method, path, key: keys.indexOf(key), model: body.model, prompt: lastWords(body), said: JSON.stringify(body.messages ?? []) };
    requests.push(entry);
    if (request.method === 'HEAD' || path === '/' || path === '/api/hello') return response.writeHead(200).end();
    // How a first start finds out whether there is a way to Anthropic at all.
    if (/\/hello$/.test(path)) return json(response, 200, { message: 'hello' });
    if (path === '/v1/messages' && request.method === 'POST') {
      if (entry.key < 0) return problem(response, 401, 'authentication_error', 'invalid x-api-key');
      // Small questions beside the conversation (titles, topics) are not what the plan is for.
      const isMain = (body.tools?.length ?? 0) > 0;
      const step = (isMain && plan.shift()) || { text: otherwise };
      if (step.status) return problem(response, step.status, ERRORS[step.status] ?? 'api_error', step.text ?? 'planned by the lab');
      return reply(response, body, step, isMain ? pauseMs : 0, `msg_lab_${++nth}`);
    }
    if (path === '/v1/messages/count_tokens') return json(response, 200, { input_tokens: 100 });
    if (path.startsWith('/api/event_logging/')) return json(response, 200, {});
    // Settings and experiments: Claude Code goes on with its own when there are none.
    if (path === '/v1/models') return json(response, 200, { data: [], has_more: false, first_id: null, last_id: null });
    return problem(response, 404, 'not_found_error', 'the lab has no such endpoint');
  }
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));

  return {
    port: server.address().port,
    requests,
    /** What every prompt gets when no plan is left. */
    say: (text) => (otherwise = text),
    /**
     * The next answers: `{text}`, `{tool: 'Bash', input: {…}}` or an error `{status, text?}`; one per request of a conversation. With
     * `breaks`, a type of error, a streamed one ends in that.
     */
    plan: (steps) => (plan = [...steps]),
    /** How long it thinks before each answer, with pings meanwhile. */
    slow: (ms) => (pauseMs = ms),
    stop: () => (server.close(), server.closeAllConnections()),
  };
}

/** The user's last words, for assertions. */
function lastWords({ messages = [] }) {
  const content = messages.filter((it) => it.role === 'user').at(-1)?.content ?? '';
  const parts = typeof content === 'string' ? [content] : content.map((it) => it.text ?? (it.type === 'tool_result' ? JSON.stringify(it.content) : ''));
  return parts.filter((it) => it && !it.startsWith('<system-reminder>')).at(-1) ?? '';
}

async function reply(response, body, step, pauseMs, id) {
  const isTool = step.tool !== undefined;
  const content = isTool ? { type: 'tool_use', id: `toolu_${id}`, name: step.tool, input: step.input } : { type: 'text', text: step.text };
  const stopReason = isTool ? 'tool_use' : 'end_turn';
  const usage = { input_tokens: 100, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 20 };
  const message = { id, type: 'message', role: 'assistant', model: body.model ?? MODEL, content: [content], stop_reason: stopReason, stop_sequence: null, usage };
  if (!body.stream) {
    await wait(pauseMs);
    return json(response, 200, message);
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'request-id': `req_${id}` });
  const event = (type, data) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  event('message_start', { message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } });
  const ping = setInterval(() => event('ping', {}), 5000);
  response.on('close', () => clearInterval(ping));
  await wait(pauseMs);
  clearInterval(ping);
  if (response.destroyed) return undefined;
  event('content_block_start', { index: 0, content_block: isTool ? { ...content, input: {} } : { type: 'text', text: '' } });
  const delta = isTool ? { type: 'input_json_delta', partial_json: JSON.stringify(step.input) } : { type: 'text_delta', text: step.text };
  event('content_block_delta', { index: 0, delta });
  if (step.breaks) {
    event('error', { error: { type: step.breaks, message: 'planned by the lab' } });
    return response.end();
  }
  event('content_block_stop', { index: 0 });
  event('message_delta', { delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: 20 } });
  event('message_stop', {});
  return response.end();
}

const wait = (ms) => (ms > 0 ? new Promise((go) => setTimeout(go, ms)) : undefined);

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(response, status, type, message) {
  json(response, status, { type: 'error', error: { type, message } });
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const coding = request.headers['content-encoding'] ?? 'identity';
  if (coding !== 'identity' && !UNPACK[coding]) throw new Error(`content-encoding ${coding} is unknown here`);
  return (UNPACK[coding]?.(body) ?? body).toString();
}

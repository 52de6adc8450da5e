// The module that Cloudflare loads: hands both events to the wasm instance (index.js) and replaces an instance that
// panicked. It knows no route and reads no body. A plain object, not a class: a Proxy would cost each request 16 µs.
import * as wasm from "./index.js";

const state = wasm.__worker_init_state();
/** Ends the requests of an instance that died: nothing inside it will ever answer them. */
const waiting = new Set();
let died = false;
Object.defineProperty(state, "criticalError", {
  get: () => died,
  set(value) {
    died = value;
    if (!died) return;
    for (const fail of waiting) fail(new Error("the instance panicked"));
    waiting.clear();
  },
});

/** Calls into the wasm; a promise that it returns fails as soon as the instance does. */
function enter(call) {
  if (died) {
    died = false;
    wasm.__wbg_reset_state();
  }
  let result;
  try {
    result = call();
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) state.criticalError = true;
    throw error;
  }
  if (!(result instanceof Promise)) return result;
  return new Promise((resolve, reject) => {
    waiting.add(reject);
    result.then(resolve, reject).finally(() => waiting.delete(reject));
  });
}

function failed(error) {
  const requestId = crypto.randomUUID();
  console.error(JSON.stringify({ level: "error", event: "internal", request_id: requestId, detail: String(error) }));
  const problem = {
    type: "about:blank",
    title: "Internal Server Error",
    status: 500,
    code: "internal",
    detail: "Something went wrong inside Mayfly. Its log holds more under the request id.",
    request_id: requestId,
  };
  const headers = { "content-type": "application/problem+json", "x-request-id": requestId };
  return new Response(JSON.stringify(problem), { status: 500, headers });
}

export default {
  fetch(request, env, ctx) {
    try {
      const answer = enter(() => wasm.fetch(request, env, ctx));
      return answer instanceof Promise ? answer.catch(failed) : answer;
    } catch (error) {
      return failed(error);
    }
  },
  async scheduled(_event, env) {
    await enter(() => wasm.scheduled(env));
  },
};

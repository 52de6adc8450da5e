/**
 * The only place that calls the API. Every answer is a value, `{ok: true, data}` or `{ok: false, problem}`;
 * nothing is thrown, nothing is logged. What an answer means is logic.js's business.
 */

/**
 * @typedef {{status: number, code: string, detail: string, title?: string, request_id?: string,
 *   errors?: {field: string, detail: string}[], retry_after_seconds?: number,
 *   attempts?: {server_type: string, location: string, outcome: string}[]}} Problem
 * @typedef {{ok: true, status: number, data: any}|{ok: false, problem: Problem}} Answer
 */

const READ_TIMEOUT_MS = 20_000;
/** Creating and deleting wait for a provider. */
const WRITE_TIMEOUT_MS = 90_000;

/**
 * @param {string} baseUrl without a slash at its end
 * @param {string} token empty for the public routes, and where Cloudflare Access says who somebody is
 * @param {{access?: boolean}} [how] whether its cookie is the credential
 */
export function createApi(baseUrl, token = '', { access = false } = {}) {
  /** @returns {Promise<Answer>} */
  const call = async (method, path, { body, headers = {} } = {}) => {
    const timeout = AbortSignal.timeout(method === 'GET' ? READ_TIMEOUT_MS : WRITE_TIMEOUT_MS);
    let response;
    let text;
    try {
      response = await fetch(baseUrl + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(token && { authorization: `Bearer ${token}` }),
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
        body,
        // A token is the only credential where there is one; a redirect could carry it elsewhere.
        credentials: access ? 'include' : token ? 'omit' : 'same-origin',
        cache: 'no-store',
        redirect: 'error',
        referrerPolicy: 'no-referrer',
        signal: timeout,
      });
      text = await response.text();
    } catch {
      const code = timeout.aborted ? 'timeout' : navigator.onLine === false ? 'offline' : 'unreachable';
      return { ok: false, problem: { status: 0, code, detail: 'No answer arrived.' } };
    }
    return read(response, text);
  };
  return {
    baseUrl,
    document: () => call('GET', '/openapi.json'),
    healthz: () => call('GET', '/healthz'),
    options: () => call('GET', '/options'),
    vms: () => call('GET', '/vms'),
    /** @param {string} body JSON @param {string} key the Idempotency-Key */
    create: (body, key) => call('POST', '/vms', { body, headers: { 'idempotency-key': key } }),
    /** @param {string} secret */
    seal: (secret) => call('POST', '/seal', { body: JSON.stringify({ secret }) }),
    remove: (id) => call('DELETE', `/vms/${encodeURIComponent(id)}`),
    open: (id) => call('POST', `/vms/${encodeURIComponent(id)}/open`),
    stop: (id) => call('POST', `/vms/${encodeURIComponent(id)}/stop`),
    start: (id) => call('POST', `/vms/${encodeURIComponent(id)}/start`),
    log: (id, source) => call('GET', `/vms/${encodeURIComponent(id)}/log?source=${source}`),
    /** @param {number} minutes */
    extend: (id, minutes) => call('POST', `/vms/${encodeURIComponent(id)}/extend`, { body: JSON.stringify({ minutes }) }),
    /** @param {string} description empty for the API's own */
    snapshot: (id, description) => call('POST', `/vms/${encodeURIComponent(id)}/snapshots`, { body: JSON.stringify(description ? { description } : {}) }),
    snapshots: () => call('GET', '/snapshots'),
    workspaces: () => call('GET', '/workspaces'),
    removeSnapshot: (id) => call('DELETE', `/snapshots/${encodeURIComponent(id)}`),
    orphans: () => call('GET', '/orphans'),
    reap: () => call('POST', '/reap'),
    /** At most twenty per call: again until nothing remains. */
    removeAll: () => call('DELETE', '/vms?confirm=all'),
  };
}

/** @param {Response} response @param {string} text @returns {Answer} */
function read(response, text) {
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    data = null;
  }
  const isObject = data !== null && typeof data === 'object' && !Array.isArray(data);
  if (response.ok && isObject) return { ok: true, status: response.status, data };
  const unexplained = {
    code: 'unexpected_answer',
    detail: response.ok ? 'The answer is not what a Mayfly API says. Is the address right?' : `HTTP status ${response.status}, without an explanation.`,
  };
  const problem = { ...unexplained, ...(isObject && !response.ok ? data : {}), status: response.status };
  const after = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  if (problem.retry_after_seconds === undefined && Number.isFinite(after)) problem.retry_after_seconds = after;
  return { ok: false, problem };
}

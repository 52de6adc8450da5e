// Hetzner Cloud: the list of servers, all pages of it, and its errors in our words.
const PER_PAGE = 50;
const MAX_PAGES = 100;
const MAX_TRIES = 3;
const TIMEOUT_MS = 10_000;
const CODES = {
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  token_readonly: 'token_readonly',
  rate_limit_exceeded: 'rate_limited',
  conflict: 'conflict',
  not_found: 'not_found',
  locked: 'locked',
};
const IN_TROUBLE = ['server_error', 'service_error', 'bad_gateway', 'unavailable', 'timeout', 'maintenance'];
const MALFORMED = 'answered with something that is not what its documentation says';

/** A provider's refusal or failure. */
export class ProviderError extends Error {
  constructor(kind, detail, retryAfterSecs) {
    super(detail);
    this.kind = kind;
    this.retryAfterSecs = retryAfterSecs;
  }

  body() {
    const body = { provider: 'hetzner', code: `provider_${this.kind}`, detail: `Hetzner Cloud ${this.message}.` };
    if (this.retryAfterSecs !== undefined) body.retry_after_seconds = this.retryAfterSecs;
    return body;
  }
}

/** All servers of an owner. The first answer tells how many pages there are; the others are asked for side by side. */
export async function servers(config, owner) {
  const first = await page(config, owner, 1);
  const { next_page: next, last_page: last } = first.meta.pagination;
  if (next === null) return first.servers;
  const rest = [];
  for (let number = next; number <= Math.min(last, MAX_PAGES); number++) rest.push(page(config, owner, number));
  return first.servers.concat(...(await Promise.all(rest)).map((it) => it.servers));
}

async function page(config, owner, number) {
  const selector = `managed-by%3D%3Dmayfly%2Cmayfly-deployment%3D%3D${config.deployment}%2Cmayfly-owner%3D%3D${owner}`;
  const url = `${config.apiUrl}/servers?label_selector=${selector}&page=${number}&per_page=${PER_PAGE}`;
  const response = await send(url, config);
  const body = await response.json().catch(() => undefined);
  if (!Array.isArray(body?.servers) || body.meta?.pagination === undefined) {
    throw new ProviderError('malformed', MALFORMED);
  }
  return body;
}

async function send(url, config) {
  for (let tried = 1; ; tried++) {
    const error = await sendOnce(url, config).then(
      (response) => (response.ok ? response : parseError(response)),
      (thrown) =>
        thrown.name === 'TimeoutError'
          ? new ProviderError('timed_out', 'did not answer in time')
          : new ProviderError('unavailable', 'could not be reached'),
    );
    if (!(error instanceof ProviderError)) return error;
    if (tried === MAX_TRIES || !['conflict', 'unavailable'].includes(error.kind)) throw error;
    await new Promise((wake) => setTimeout(wake, 250 * 2 ** (tried - 1) * (1 + Math.random() / 2)));
  }
}

function sendOnce(url, { authorization }) {
  // A redirect would carry the provider's credential to another address.
  return fetch(url, { headers: { authorization }, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
}

async function parseError(response) {
  const error = await response.json().then((it) => it.error, () => undefined);
  if (typeof error?.code !== 'string') return errorOfStatus(response.status);
  const kind = CODES[error.code] ?? (IN_TROUBLE.includes(error.code) ? 'unavailable' : 'invalid');
  if (kind === 'unauthorized') return new ProviderError(kind, 'refuses the token in HETZNER_TOKEN');
  if (kind === 'token_readonly') {
    const detail = 'says that the token in HETZNER_TOKEN may only read; create one with Read & Write';
    return new ProviderError(kind, detail);
  }
  const wait = kind === 'rate_limited' ? Number(response.headers.get('retry-after') ?? 10) : undefined;
  return new ProviderError(kind, `answered ${error.code}: ${error.message ?? ''}`, wait);
}

function errorOfStatus(status) {
  const kinds = { 401: 'unauthorized', 403: 'unauthorized', 409: 'conflict', 412: 'unavailable', 423: 'locked' };
  const kind = kinds[status] ?? (status === 429 ? 'rate_limited' : status >= 500 ? 'unavailable' : 'malformed');
  const wait = kind === 'rate_limited' ? 10 : undefined;
  return new ProviderError(kind, `answered with status ${status} and no error message`, wait);
}

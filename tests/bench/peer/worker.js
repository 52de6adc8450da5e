// The peer: Mayfly's API for `GET /vms` and `GET /healthz` in JavaScript on Hono, with the same checks and the same
// answers. Written as one would who wants it to be fast. What is not measured answers 501.
import { Hono } from 'hono';
import { appOf } from './config.js';
import { Problem } from './problem.js';
import { listVms } from './vms.js';

const VERSION = '0.1.0';
/** Paths that Mayfly has beside those below, with their methods. */
const ELSEWHERE = {
  '/vms': ['POST', 'DELETE'],
  '/vms/:id': ['GET', 'DELETE'],
  '/vms/:id/start': ['POST'],
  '/vms/:id/stop': ['POST'],
  '/vms/:id/extend': ['POST'],
  '/vms/:id/open': ['POST'],
  '/vms/:id/log': ['GET'],
  '/vms/:id/snapshots': ['POST'],
  '/options': ['GET'],
  '/health/providers': ['GET'],
  '/snapshots': ['GET'],
  '/snapshots/:id': ['DELETE'],
  '/snapshots/golden': ['POST'],
  '/workspaces': ['GET'],
  '/workspaces/:id': ['DELETE'],
  '/user-data': ['POST'],
  '/orphans': ['GET', 'DELETE'],
  '/reap': ['POST'],
  '/seal': ['POST'],
  '/metrics': ['GET'],
};
const ALLOWED = { '/healthz': 'GET', '/vms': 'GET, POST, DELETE' };

const app = new Hono();

app.use(async (c, next) => {
  const { problems, config } = await appOf(c.env);
  c.set('requestId', requestId(c.req.header('cf-ray')));
  c.header('x-request-id', c.get('requestId'));
  c.header('cache-control', 'no-store');
  c.header('x-content-type-options', 'nosniff');
  if (problems.length > 0) {
    throw new Problem(503, 'misconfigured', "The Worker's configuration is not complete; errors lists every key.", {
      errors: problems,
    });
  }
  c.set('config', config);
  if (config.allowedOrigins.length > 0) allowOrigin(c, config);
  await next();
});

app.on('OPTIONS', ['/healthz', ...Object.keys(ELSEWHERE)], (c, next) =>
  c.req.header('access-control-request-method') ? c.body(null, 204) : next(),
);
app.get('/healthz', (c) => c.json({ status: 'ok', version: VERSION, simulation: c.get('config').simulation, access: false }));
app.get('/vms', authorize, listVms);
for (const [path, methods] of Object.entries(ELSEWHERE)) {
  app.on(methods, path, authorize, (c) => {
    throw new Problem(501, 'not_available', `${c.req.method} ${path} is not available yet.`);
  });
}
for (const [path, allow] of Object.entries(ALLOWED)) {
  app.all(path, () => {
    throw new Problem(405, 'method_not_allowed', `This path takes ${allow}.`, { allow });
  });
}
app.notFound(() => {
  throw new Problem(404, 'not_found', 'There is no such path.');
});
app.onError((error, c) => {
  const problem = error instanceof Problem ? error : new Problem(500, 'internal', 'Something went wrong.');
  if (problem.status >= 500 && problem.status !== 501) {
    console.log(JSON.stringify({ event: 'problem', request_id: c.get('requestId'), code: problem.code }));
  }
  return problem.respond(c);
});

/** Every configured digest is compared, each in constant time. */
async function authorize(c, next) {
  const header = c.req.header('authorization');
  if (header === undefined) throw unauthorized("Send the API token as 'Authorization: Bearer <token>'.");
  const space = header.indexOf(' ');
  const scheme = space < 0 ? header : header.slice(0, space);
  if (scheme.toLowerCase() !== 'bearer') {
    throw unauthorized("The scheme must be Bearer: 'Authorization: Bearer <token>'.");
  }
  const token = space < 0 ? '' : header.slice(space + 1).trim();
  if (token === '' || token.length > 1024) throw unauthorized('The bearer token is empty or far too long.');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token));
  let owner;
  for (const known of c.get('config').tokens) {
    if (crypto.subtle.timingSafeEqual(known.digest, digest)) owner = known.owner;
  }
  if (owner === undefined) throw unauthorized('The bearer token is not known here.');
  c.set('owner', owner);
  await next();
}

function unauthorized(detail) {
  return new Problem(401, 'unauthorized', detail);
}

function requestId(ray) {
  if (ray !== undefined && /^[A-Za-z0-9-]{0,40}$/.test(ray)) return ray;
  let id = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(8))) id += byte.toString(16).padStart(2, '0');
  return id;
}

function allowOrigin(c, { allowedOrigins }) {
  c.header('vary', 'origin');
  const origin = c.req.header('origin');
  if (origin === undefined || !allowedOrigins.some((matches) => matches(origin))) return;
  c.header('access-control-allow-origin', origin);
  c.header('access-control-expose-headers', 'location, retry-after, x-request-id, idempotent-replayed');
  if (c.req.method === 'OPTIONS') {
    c.header('access-control-allow-methods', 'GET, POST, PUT, PATCH, DELETE');
    c.header('access-control-allow-headers', 'authorization, content-type, idempotency-key');
    c.header('access-control-max-age', '86400');
  }
}

export default app;

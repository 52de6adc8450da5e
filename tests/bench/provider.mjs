// The provider of the bench: its own process, which answers `GET /servers` with pages made beforehand. Whose servers are
// asked for decides how many there are, so that one Worker with one configuration serves every case.
import { createServer } from 'node:http';
import { pages } from './data.mjs';

const [large] = process.argv.slice(2).map(Number);
const nowSecs = Math.floor(Date.now() / 1000);
const lists = new Map([
  ['fifty', pages(50, 'fifty', nowSecs)],
  ['many', pages(large, 'many', nowSecs)],
  ['none', pages(0, 'none', nowSecs)],
]);
const REFUSAL = Buffer.from('{"error":{"code":"unauthorized","message":"unable to authenticate","details":null}}');

const server = createServer((request, response) => {
  const query = new URLSearchParams(request.url.slice(request.url.indexOf('?')));
  const owner = /(?:^|,)mayfly-owner==([^,]*)/.exec(query.get('label_selector') ?? '')?.[1];
  const page = lists.get(owner)?.[Number(query.get('page') ?? 1) - 1];
  const allowed = request.headers.authorization === 'Bearer bench-provider-token' && request.url.startsWith('/v1/servers?');
  const body = allowed && page ? page : REFUSAL;
  response.writeHead(body === page ? 200 : 401, {
    'content-type': 'application/json',
    'content-length': body.length,
    'ratelimit-limit': 3600,
    'ratelimit-remaining': 3599,
    'ratelimit-reset': nowSecs,
  });
  response.end(body);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const bytes = Object.fromEntries([...lists].map(([owner, list]) => [owner, list.reduce((sum, it) => sum + it.length, 0)]));
  process.send({ port: server.address().port, bytes });
});
process.once('disconnect', () => process.exit());

// A read-only container registry (OCI distribution spec, pull only) over the images that image/build.mjs made. Knows each
// image by its repository's name, whatever the tag.
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

/**
 * Starts it on the loopback address.
 * @param {{layout: string, port: number}} options
 */
export async function startRegistry({ layout, port }) {
  const names = JSON.parse(readFileSync(join(layout, 'names.json'), 'utf8'));
  const requests = [];
  const server = http.createServer((request, response) => {
    requests.push({ method: request.method, path: request.url });
    const missing = () => response.writeHead(404, { 'content-type': 'application/json' }).end('{"errors":[{"code":"NAME_UNKNOWN"}]}');
    if (/^\/v2\/?$/.test(request.url)) return response.writeHead(200, { 'docker-distribution-api-version': 'registry/2.0' }).end('{}');
    const asked = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)/.exec(request.url);
    if (!asked || !names[asked[1]]) return missing();
    const isManifest = asked[2] === 'manifests';
    const digest = isManifest && !asked[3].startsWith('sha256:') ? names[asked[1]].digest : asked[3];
    const file = join(layout, 'blobs', digest.replace(/[^a-z0-9:]/g, ''));
    if (!existsSync(file)) return missing();
    response.writeHead(200, {
      'content-type': isManifest ? JSON.parse(readFileSync(file, 'utf8')).mediaType : 'application/octet-stream',
      'content-length': statSync(file).size,
      'docker-content-digest': digest,
    });
    return request.method === 'HEAD' ? response.end() : createReadStream(file).pipe(response);
  });
  await new Promise((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
  return { requests, stop: () => server.close() };
}

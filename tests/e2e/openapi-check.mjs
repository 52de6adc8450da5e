// Holds real answers against src/api/openapi.json: status, content type, headers and body must be what the document says
// of the route, and a body may have no member that it does not name. Asking for answers is for the tests that use it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import addFormats from 'ajv-formats';
import Ajv2020 from 'ajv/dist/2020.js';

export const openapi = JSON.parse(readFileSync(new URL('../../src/api/openapi.json', import.meta.url), 'utf8'));

const BASE = 'https://mayfly.example/openapi.json';
const PROBLEM = 'application/problem+json';
const ajv = addFormats.default(
  new Ajv2020({ allErrors: true, strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true }),
);
for (const word of ['components', 'x-available', 'example']) ajv.addKeyword(word);
ajv.addSchema({ $id: BASE, components: { schemas: closed(openapi.components.schemas) } }, BASE, false, false);

/** Compiled once for each place in the document. */
const validators = new WeakMap();

/**
 * Fails unless the document allows this answer.
 * @param {string} method as in the request line
 * @param {string} path with or without a query
 * @param {number} status
 * @param {Headers|Record<string, string>} headers of the answer
 * @param {unknown} body parsed JSON, or the text of it; undefined for none
 */
export function validateAnswer(method, path, status, headers, body) {
  const what = `${method} ${path} ${status}`;
  const header = (name) => (headers instanceof Headers ? headers.get(name) : headers[name]) ?? undefined;
  const isJson = !/^(text\/plain|application\/octet-stream)/.test(header('content-type'));
  const value = typeof body === 'string' && isJson ? (body === '' ? undefined : JSON.parse(body)) : (body ?? undefined);
  if (method === 'OPTIONS' && status === 204) {
    assert.equal(value, undefined, `${what}: a body`);
    return;
  }
  const response = resolve(responseOf(method, path.split('?')[0], status));
  assert.ok(response, `${what} is not in the document`);
  for (const [name, it] of Object.entries(response.headers ?? {})) {
    const { required, schema } = resolve(it);
    if (header(name) === undefined) assert.ok(!required, `${what}: no header ${name}`);
    else check(schema, header(name), `${what}: header ${name}`);
  }
  const type = header('content-type')?.split(';')[0];
  const media = response.content[type];
  assert.ok(media, `${what}: content type ${type}`);
  check(media.schema, value, what);
  if (type !== PROBLEM) return;
  assert.equal(value.status, status, `${what}: the problem's status`);
  assert.equal(value.request_id, header('x-request-id'), `${what}: the problem's request_id`);
  const wait = value.retry_after_seconds;
  assert.equal(header('retry-after'), wait === undefined ? undefined : String(wait), `${what}: retry-after`);
}

/** Fails unless the value fits a schema of the document; for its own examples, and for request bodies. */
export function check(schema, value, what) {
  let validate = validators.get(schema);
  if (!validate) {
    const absolute = JSON.parse(JSON.stringify(closed(schema)).replaceAll('"$ref":"#/', `"$ref":"${BASE}#/`));
    validate = ajv.compile(absolute);
    validators.set(schema, validate);
  }
  assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors, { dataVar: 'body' })}\n${JSON.stringify(value)}`);
}

/** Follows a reference, where it is one. */
export function resolve(it) {
  if (!it?.$ref) return it;
  return it.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/').replaceAll('~0', '~')], openapi);
}

function responseOf(method, path, status) {
  const items = Object.entries(openapi.paths).filter(([template]) => pattern(template).test(path));
  if (items.length === 0) return status === 404 ? openapi.components.responses.NoSuchPath : undefined;
  const item = items.map(([, it]) => it).find((it) => it[method.toLowerCase()]);
  if (!item) return status === 405 ? openapi.components.responses.MethodNotAllowed : undefined;
  return item[method.toLowerCase()].responses[status];
}

/** `{path}` stands for all the rest, any other name for one segment. */
function pattern(template) {
  const source = template
    .replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('{path}', '.*')
    .replaceAll(/\{\w+\}/g, '[^/]+');
  return new RegExp(`^${source}$`);
}

/**
 * The same schemas without room for members that they do not name: the document leaves it to clients to pass over what is
 * new, the tests want every member described.
 */
function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== 'object') return schema;
  const copy = {};
  for (const [key, value] of Object.entries(schema)) {
    copy[key] = ['example', 'examples', 'enum', 'const', 'default'].includes(key) ? value : closed(value);
  }
  if (schema.type === 'object' && schema.properties && !('additionalProperties' in schema)) {
    copy.additionalProperties = false;
  }
  return copy;
}

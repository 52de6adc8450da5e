// The document by OpenAPI's own schema, its examples by its own schemas, and answers that the core really gave (kept and
// renewed by tests/openapi.rs) by the document. Answers over HTTP are held against it by the tests that get them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { Validator } from '@seriousme/openapi-schema-validator';

import { check, openapi, resolve, validateAnswer } from './openapi-check.mjs';

const samples = JSON.parse(readFileSync(new URL('openapi-samples.json', import.meta.url), 'utf8'));
const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'];

function* operations() {
  for (const [path, item] of Object.entries(openapi.paths)) {
    for (const method of METHODS) if (item[method]) yield { method, path, operation: item[method] };
  }
}

/** Every sample, changed by the caller. */
function answer(name, change = () => {}) {
  const it = structuredClone(samples[name]);
  change(it);
  validateAnswer(it.method, it.path, it.status, it.headers, it.body);
}

test('the document is an OpenAPI 3.1 document', async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(openapi));
  assert.ok(result.valid, JSON.stringify(result.errors, null, 1));
  assert.equal(validator.version, '3.1');
  const broken = structuredClone(openapi);
  delete broken.info.title;
  assert.equal((await new Validator().validate(broken)).valid, false, 'the validator finds nothing');
});

test('nothing of OpenAPI 3.0 is left in the schemas', () => {
  assert.ok(!JSON.stringify(openapi).includes('"nullable"'));
});

test('every example fits its schema', () => {
  let found = 0;
  const media = (content, what) => {
    for (const { schema, example, examples } of Object.values(content)) {
      const values = Object.values(examples ?? {}).map((it) => resolve(it).value);
      if (example !== undefined) values.push(example);
      for (const value of values) check(schema, value, what);
      found += values.length;
    }
  };
  for (const { method, path, operation } of operations()) {
    const body = operation.requestBody;
    if (body) media(body.content, `the request of ${method} ${path}`);
    for (const [status, response] of Object.entries(operation.responses)) {
      media(resolve(response).content, `${status} of ${method} ${path}`);
    }
  }
  const walk = (schema, what) => {
    if (schema === null || typeof schema !== 'object') return;
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'examples' && Array.isArray(value)) {
        for (const it of value) check(schema, it, what);
        found += value.length;
      } else walk(value, `${what}/${key}`);
    }
  };
  walk(openapi.components.schemas, 'schemas');
  assert.ok(found > 60, `only ${found} examples were found`);
});

test('every success and every problem has an example', () => {
  const withoutExample = new Set(['openapi', 'vmBoot', 'vmBackupSize']);
  for (const { operation } of operations()) {
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const media of Object.values(resolve(response).content)) {
        if (status === '200' && withoutExample.has(operation.operationId)) continue;
        assert.ok(media.example ?? media.examples, `${status} of ${operation.operationId}`);
      }
    }
  }
});

test('real answers are what the document says', async (t) => {
  for (const name of Object.keys(samples)) await t.test(name, () => answer(name));
});

test('the samples reach every operation that is there', () => {
  const succeeded = new Set();
  for (const { method, path, operation } of operations()) {
    const template = new RegExp(`^${path.replace('{path}', '.+').replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    const hits = Object.values(samples).filter((it) => it.method === method.toUpperCase() && template.test(it.path));
    if (hits.some((it) => operation.responses[it.status])) succeeded.add(operation.operationId);
  }
  const available = [...operations()].map((it) => it.operation).filter((it) => it['x-available'] !== false);
  const missing = available.map((it) => it.operationId).filter((it) => !succeeded.has(it));
  assert.deepEqual(missing, ['openapi'], 'the document is no sample of itself');
});

test('answers that differ from the document are found', async (t) => {
  const changes = {
    'a member that is not described': ['get', (it) => (it.body.vm.surprise = 1)],
    'a missing member': ['get', (it) => delete it.body.vm.cost],
    'a wrong type': ['get', (it) => (it.body.vm.age_seconds = '93')],
    'an unknown word': ['get', (it) => (it.body.vm.phase = 'dreaming')],
    'a time that is none': ['get', (it) => (it.body.vm.created_at = 'yesterday')],
    'a member deep in a list': ['options', (it) => (it.body.providers[0].sizes[0].offers[0].surprise = 1)],
    'a null that is not allowed': ['options', (it) => (it.body.deployment = null)],
    'an undocumented status': ['get', (it) => (it.status = 418)],
    'a wrong content type': ['get', (it) => (it.headers['content-type'] = 'text/html')],
    'no request id': ['get', (it) => delete it.headers['x-request-id']],
    'no Location': ['create', (it) => delete it.headers.location],
    'no sign of a replay': ['create_replayed', (it) => delete it.headers['idempotent-replayed']],
    'no Allow': ['wrong_method', (it) => delete it.headers.allow],
    'no WWW-Authenticate': ['no_token', (it) => delete it.headers['www-authenticate']],
    'a code that the route does not answer': ['get_gone', (it) => (it.body.code = 'name_taken')],
    'an unknown code': ['get_gone', (it) => (it.body.code = 'made_up')],
    'a problem of another status': ['get_gone', (it) => (it.body.status = 400)],
    'a problem of another request': ['get_gone', (it) => (it.body.request_id = 'x')],
    'a wait that only the body knows': ['open_without_address', (it) => delete it.headers['retry-after']],
    'a problem as success': ['get_gone', (it) => (it.headers['content-type'] = 'application/json')],
    'a body in a preflight': ['preflight', (it) => (it.body = { a: 1 })],
    'a 404 of a path that exists': ['no_such_path', (it) => (it.path = '/vms')],
  };
  for (const [name, [sample, change]] of Object.entries(changes)) {
    await t.test(name, () => assert.throws(() => answer(sample, change), assert.AssertionError));
  }
});

test('answers may come as fetch gives them', () => {
  const { method, status, headers, body } = samples.get;
  validateAnswer(method, '/vms/hetzner-4711?x=1', status, new Headers(headers), JSON.stringify(body));
});

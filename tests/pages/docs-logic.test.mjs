// The API's own document, read as the page reads it: nothing of it may be lost or shown as an object.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { docsOf, pieces, typeOf } from '../../pages/docs-logic.js';

const DOCUMENT = JSON.parse(await readFile(new URL('../../src/api/openapi.json', import.meta.url), 'utf8'));
const docs = docsOf(DOCUMENT, 'https://api.example');
const operations = docs.groups.flatMap((group) => group.operations);

test('every operation of the document is there, once, in a group', () => {
  const all = Object.values(DOCUMENT.paths).flatMap((item) => Object.values(item).filter((it) => it.operationId).map((it) => it.operationId));
  assert.deepEqual(operations.map((it) => it.id).sort(), all.sort());
  assert.equal(docs.schemas.length, Object.keys(DOCUMENT.components.schemas).length);
});

test('creating a VM has its fields, an example, and a command that holds no token', () => {
  const create = operations.find((it) => it.method === 'POST' && it.path === '/vms');
  const repo = create.body.find((it) => it.name === 'repo_url');
  assert.deepEqual([repo.required, repo.type], [true, 'string']);
  assert.match(repo.text, /1–255 characters\.$/);
  assert.equal(create.auth, 'API token');
  assert.match(create.sample, /^curl -X POST 'https:\/\/api\.example\/vms' -H "Authorization: Bearer \$TOKEN"/);
  assert.ok(create.answers.some((it) => it.status === '201' && it.refs.includes('CreatedVm')));
  assert.equal(operations.find((it) => it.path === '/healthz').auth, 'open to all');
});

test('what a path has for all of its operations counts for each', () => {
  const [parameter] = operations.find((it) => it.path === '/vms/{id}/open').parameters;
  assert.deepEqual([parameter.name, parameter.where, parameter.required], ['id', 'path', true]);
});

test('what is to come says so', () => {
  const coming = Object.values(DOCUMENT.paths).flatMap((item) => Object.values(item).filter((it) => it['x-available'] === false));
  assert.deepEqual(operations.filter((it) => !it.available).map((it) => it.id).sort(), coming.map((it) => it.operationId).sort());
});

test('types are words', () => {
  const type = (schema) => typeOf(schema).type;
  assert.equal(type({ type: ['string', 'null'] }), 'string | null');
  assert.equal(type({ oneOf: [{ $ref: '#/components/schemas/Cost' }, { type: 'null' }] }), 'Cost | null');
  assert.equal(type({ type: 'array', items: { $ref: '#/components/schemas/Vm' } }), 'Vm[]');
  assert.equal(type({ enum: ['a', null] }), '"a" | null');
  assert.equal(type({ const: true }), 'true');
  assert.equal(type({ type: 'object', additionalProperties: { type: 'string' } }), 'map of string');
  assert.deepEqual(typeOf({ oneOf: [{ $ref: '#/x/Cost' }, { $ref: '#/x/Vm' }] }).refs, ['Cost', 'Vm']);
  assert.doesNotMatch(JSON.stringify(docs), /\[object Object\]|undefined/);
});

test('code stands between backticks', () => {
  assert.deepEqual(pieces('a `b` c'), [{ code: false, text: 'a ' }, { code: true, text: 'b' }, { code: false, text: ' c' }]);
});

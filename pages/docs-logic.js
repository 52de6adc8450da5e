/**
 * The API's document (OpenAPI 3.1) as what a reader wants to see: groups of operations, fields, answers. Pure; drawing is
 * docs.js's business. It knows of OpenAPI what ours uses.
 */

/**
 * @typedef {{name: string, where: string, required: boolean, type: string, refs: string[], text: string}} Field
 * @typedef {{id: string, method: string, path: string, title: string, text: string, available: boolean, auth: string,
 *   parameters: Field[], body: Field[], bodyExample: string|null, answers: {status: string, text: string, type: string, refs: string[], example: string|null}[], sample: string}} Operation
 */

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'];

/** @param {any} document @param {string} apiUrl */
export function docsOf(document, apiUrl) {
  const resolve = (it) => (it?.$ref ? resolve(it.$ref.split('/').slice(1).reduce((at, key) => at?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], document)) : (it ?? {}));
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ tag: item[method].tags?.[0] ?? '', ...operationOf(document, resolve, path, method, item, apiUrl) })),
  );
  const schemas = Object.entries(document.components?.schemas ?? {});
  return {
    title: `${document.info?.title ?? 'API'} ${document.info?.version ?? ''}`.trim(),
    text: document.info?.description ?? document.info?.summary ?? '',
    groups: (document.tags ?? []).map((tag) => ({ id: idOf(tag.name), name: tag.name, text: tag.description ?? '', operations: operations.filter((one) => one.tag === tag.name) })),
    schemas: schemas.map(([name, schema]) => ({ id: schemaId(name), name, text: schema.description ?? '', fields: fieldsOf(resolve, schema), ...typeOf(schema) })),
  };
}

export const idOf = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
export const schemaId = (name) => `object-${idOf(name)}`;

/** @returns {Operation} */
function operationOf(document, resolve, path, method, item, apiUrl) {
  const operation = item[method];
  const content = resolve(operation.requestBody).content?.['application/json'];
  const security = operation.security ?? document.security ?? [];
  const auth = security.length === 0 ? 'none' : security.map((one) => Object.keys(one).join(' and ')).join(' or ');
  const body = content ? fieldsOf(resolve, resolve(content.schema)) : [];
  return {
    id: operation.operationId ?? idOf(`${method} ${path}`),
    method: method.toUpperCase(),
    path,
    title: operation.summary ?? '',
    text: operation.description ?? '',
    available: operation['x-available'] !== false,
    auth: { apiToken: 'API token', vmCapability: 'VM’s capability', none: 'open to all' }[auth] ?? auth,
    parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(resolve).map((it) => ({ name: it.name, where: it.in, required: Boolean(it.required), text: it.description ?? '', ...typeOf(it.schema) })),
    body,
    bodyExample: exampleOf(resolve, content),
    answers: Object.entries(operation.responses ?? {}).map(([status, answer]) => {
      const told = resolve(answer);
      const [kind] = Object.values(told.content ?? {});
      return { status, text: told.description ?? '', example: exampleOf(resolve, kind), ...(kind ? typeOf(kind.schema) : { type: '', refs: [] }) };
    }),
    sample: sampleOf(method.toUpperCase(), path, auth, exampleOf(resolve, content, 0), apiUrl),
  };
}

/** A first example, as JSON. */
function exampleOf(resolve, content, indent = 2) {
  const [named] = Object.values(content?.examples ?? {});
  const example = content?.example ?? resolve(named).value ?? resolve(content?.schema).examples?.[0];
  return example === undefined ? null : typeof example === 'string' ? example : JSON.stringify(example, null, indent);
}

/** The request as a command. The token is a variable, never a value. */
function sampleOf(method, path, auth, body, apiUrl) {
  const parts = ['curl', ...(method === 'GET' ? [] : ['-X', method]), `'${apiUrl}${path}'`];
  if (auth !== 'none') parts.push(`-H "Authorization: Bearer $TOKEN"`);
  if (body) parts.push(`-H 'Content-Type: application/json'`, `-d '${body.replaceAll("'", `'\\''`)}'`);
  return parts.join(' ');
}

/** The fields of an object, those of its parts included. @returns {Field[]} */
function fieldsOf(resolve, schema) {
  const own = resolve(schema);
  const required = new Set(own.required ?? []);
  const fields = Object.entries(own.properties ?? {}).map(([name, it]) => ({
    name, where: '', required: required.has(name), text: [resolve(it).description ?? it.description ?? '', limitsOf(it)].filter(Boolean).join(' '), ...typeOf(it),
  }));
  return [...(own.allOf ?? []).flatMap((part) => fieldsOf(resolve, part)), ...fields];
}

/** @returns {{type: string, refs: string[]}} the type in words, and the names of ours in it */
export function typeOf(schema) {
  const refs = [];
  const words = (it) => {
    if (!it) return 'anything';
    if (it.$ref) {
      const name = it.$ref.split('/').at(-1);
      refs.push(name);
      return name;
    }
    if ('const' in it) return JSON.stringify(it.const);
    if (it.enum) return it.enum.map((one) => JSON.stringify(one)).join(' | ');
    const either = it.oneOf ?? it.anyOf;
    if (either) return either.map(words).join(' | ');
    if (it.allOf) return it.allOf.map(words).join(' & ');
    return [it.type ?? 'anything'].flat().map((type) => (type === 'array' ? `${words(it.items)}[]` : type === 'object' && it.additionalProperties?.type ? `map of ${words(it.additionalProperties)}` : type)).join(' | ');
  };
  return { type: words(schema), refs };
}

/** What a value must keep to. */
function limitsOf({ minimum, maximum, minLength, maxLength, maxItems }) {
  const range = (least, most, unit) => (least !== undefined && most !== undefined ? `${least}–${most}${unit}.` : most !== undefined ? `At most ${most}${unit}.` : least !== undefined ? `At least ${least}${unit}.` : '');
  return [range(minimum, maximum, ''), range(minLength, maxLength, ' characters'), range(undefined, maxItems, ' entries')].filter(Boolean).join(' ');
}

/** Text with code between backticks, as pieces. @param {string} text @returns {{code: boolean, text: string}[]} */
export function pieces(text) {
  return text.split('`').map((part, index) => ({ code: index % 2 === 1, text: part })).filter((one) => one.text);
}

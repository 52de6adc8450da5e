/**
 * The API as a readable page, from the document that the API itself gives out. What it says is docs-logic.js's business.
 */

import { createApi } from './api.js';
import { docsOf, pieces, schemaId } from './docs-logic.js';
import { parts, setText, show } from './dom.js';
import { plain } from './format.js';
import { troubleText } from './logic.js';
import { loadSession } from './session.js';

const el = parts(document);
const configured = document.querySelector('meta[name="mayfly-api"]').content.trim();
const apiUrl = loadSession()?.apiUrl ?? (configured || window.location.origin);

/** @param {string} name @param {Record<string, string>} attributes @param {(Node|string|null)[]} children */
function make(name, attributes = {}, ...children) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  it.append(...children.filter((child) => child !== null));
  return it;
}

const prose = (text) => pieces(plain(text)).map((one) => (one.code ? make('code', {}, one.text) : one.text));
/** A paragraph for each; line breaks never reach `plain`, which would mark them. */
const paragraphs = (text) => text.split('\n\n').map((part) => make('p', {}, ...prose(part.replaceAll('\n', ' '))));
const code = (text) => make('pre', { tabindex: '0' }, make('code', {}, text));

/** A type in words, in which our own objects are links. */
function typed({ type, refs }) {
  const words = plain(type).split(/\b/);
  return make('span', { class: 'doc-type' }, ...words.map((word) => (refs.includes(word) ? make('a', { href: `#${schemaId(word)}` }, word) : word)));
}

/** @param {import('./docs-logic.js').Field[]} list */
function fields(list, title) {
  if (list.length === 0) return [];
  const line = (field) => make('div', { class: 'doc-field' },
    make('dt', {}, make('code', {}, plain(field.name)), typed(field), field.where ? make('span', { class: 'doc-mark' }, field.where) : null, field.required ? make('span', { class: 'doc-mark -must' }, 'required') : null),
    make('dd', {}, ...prose(field.text)));
  return [title ? make('h4', {}, title) : null, make('dl', { class: 'doc-fields' }, ...list.map(line))].filter(Boolean);
}

/** @param {import('./docs-logic.js').Operation} operation */
function operationOf(operation) {
  const answers = operation.answers.map((answer) => {
    const head = [make('span', { class: 'doc-status', 'data-tone': answer.status < '300' ? 'good' : 'quiet' }, answer.status), make('span', {}, ...prose(answer.text)), answer.type ? typed(answer) : null];
    // Links stay outside of the disclosure: a button within a button is none.
    const example = answer.example ? make('details', {}, make('summary', { 'aria-label': `Example of ${answer.status}` }, 'Example'), code(answer.example)) : null;
    return make('li', { class: 'doc-answer' }, ...head.filter(Boolean), example);
  });
  return make('article', { class: 'panel doc-operation', id: operation.id },
    make('h3', {}, make('span', { class: 'doc-method', 'data-method': operation.method }, operation.method), make('code', { class: 'doc-path' }, operation.path), operation.available ? null : make('span', { class: 'doc-mark' }, 'to come')),
    make('p', { class: 'doc-title' }, `${operation.title} `, make('span', { class: 'doc-auth' }, operation.auth)),
    ...paragraphs(operation.text),
    ...fields(operation.parameters, 'Parameters'),
    ...fields(operation.body, 'Body'),
    make('h4', {}, 'Request'), code(operation.sample),
    make('h4', {}, 'Answers'), make('ul', { class: 'doc-answers' }, ...answers));
}

async function load() {
  show(el.problem, false);
  setText(el.apiUrl, apiUrl);
  const answer = await createApi(apiUrl).document();
  if (!answer.ok || !answer.data.paths) {
    const { title, detail } = answer.ok ? { title: 'This is no API document', detail: `What answers at ${apiUrl} is something else.` } : troubleText(answer.problem, apiUrl);
    setText(el.problemTitle, title);
    setText(el.problemDetail, detail);
    return void show(el.problem, true);
  }
  const docs = docsOf(answer.data, apiUrl);
  setText(el.title, plain(docs.title));
  el.intro.replaceChildren(...paragraphs(docs.text));
  el.nav.replaceChildren(...docs.groups.filter((group) => group.operations.length > 0).map((group) => make('section', {}, make('h2', {}, group.name),
    make('ul', { role: 'list' }, ...group.operations.map((one) => make('li', {}, make('a', { href: `#${one.id}` }, make('span', { class: 'doc-method', 'data-method': one.method }, one.method), make('span', {}, one.path))))))));
  el.groups.replaceChildren(...docs.groups.filter((group) => group.operations.length > 0).map((group) => make('section', { class: 'doc-group', id: group.id }, make('h2', {}, group.name), ...paragraphs(group.text), ...group.operations.map(operationOf))));
  el.objects.replaceChildren(make('h2', {}, 'Objects'), ...docs.schemas.map((schema) => make('article', { class: 'panel doc-operation', id: schema.id },
    make('h3', {}, make('code', {}, schema.name)), ...paragraphs(schema.text), ...(schema.fields.length > 0 ? fields(schema.fields, '') : [make('p', {}, typed(schema))]))));
  show(el.body, true);
  document.title = `${plain(docs.title)} · API`;
  // What the address names was not there when the browser looked.
  document.getElementById(window.location.hash.slice(1))?.scrollIntoView();
}

el.retry.addEventListener('click', load);
load();

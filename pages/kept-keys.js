/**
 * Keys that somebody wants this browser to remember: what is stored is ciphertext that the API made of them
 * (`POST /seal`) and that opens for the same owner of the same API alone. The key itself is never stored, and never
 * comes back into the document. Sending it is the form's business.
 */

import { announce, clone, parts, setAttribute, setText, show } from './dom.js';

const KEY = 'mayfly-sealed-keys';
const SEALED = /^mfs1\.[\w.-]{1,6000}$/;

/** @returns {Record<string, Record<string, string>>} by API and owner, then by field */
function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return saved !== null && typeof saved === 'object' && !Array.isArray(saved) ? saved : {};
  } catch {
    // A forbidden store, or somebody else's value, counts as none.
    return {};
  }
}

/** @param {Record<string, Record<string, string>>} all */
function save(all) {
  try {
    if (Object.keys(all).length > 0) localStorage.setItem(KEY, JSON.stringify(all));
    else localStorage.removeItem(KEY);
  } catch {
    // Then it has to be typed again.
  }
}

/**
 * Puts under each field the choice to remember what is typed, or word that it is remembered, with a way to forget it.
 * @param {Record<string, {field: HTMLElement, input: HTMLInputElement, what: string}>} fields
 * @param {() => string|null} whose the API and the owner as one text; null while nobody is signed in
 * @param {() => void} onForgotten
 */
export function mountKept(fields, whose, onForgotten) {
  const rows = new Map();
  const of = (name) => {
    const text = load()[whose() ?? '']?.[name];
    return typeof text === 'string' && SEALED.test(text) ? text : null;
  };
  const change = (name, sealed) => {
    const all = load();
    const at = whose();
    if (at === null) return;
    const mine = { ...all[at], [name]: sealed };
    if (sealed === null) delete mine[name];
    if (Object.keys(mine).length > 0) all[at] = mine;
    else delete all[at];
    save(all);
    draw();
  };

  for (const [name, { field, what }] of Object.entries(fields)) {
    const row = clone('kept-template');
    const el = parts(row);
    setText(el.what, `Remember this ${what} in this browser, sealed`);
    setAttribute(el.forget, 'aria-label', `Forget the kept ${what}`);
    el.forget.addEventListener('click', () => {
      change(name, null);
      announce(`The kept ${what} is forgotten.`);
      onForgotten();
      fields[name].input.focus();
    });
    rows.set(name, el);
    field.querySelector('.field-error').before(row);
  }

  function draw() {
    for (const [name, el] of rows) {
      const kept = whose() !== null && of(name) !== null;
      show(el.now, kept);
      show(el.choice, !kept);
    }
  }

  return {
    of,
    /** Whether what is typed into the field is to be remembered. */
    isWanted: (name) => rows.get(name)?.box.checked ?? false,
    keep(name, sealed) {
      if (SEALED.test(sealed)) change(name, sealed);
      rows.get(name).box.checked = false;
    },
    forget: (name) => change(name, null),
    draw,
  };
}

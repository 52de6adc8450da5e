/**
 * Secrets that were sent and may have to be sent again: out of the document, in this page's memory alone, each with a
 * way to take it back. When they are forgotten is the form's business; what outlives the page is kept-keys.js's.
 */

import { announce, clone, parts, setAttribute, setText, show } from './dom.js';

/**
 * @param {Record<string, {field: HTMLElement, input: HTMLInputElement|HTMLTextAreaElement, what: string}>} fields
 * @param {() => void} onRemoved
 */
export function mountHeld(fields, onRemoved) {
  /** @type {Map<string, string>} */
  const held = new Map();
  const rows = new Map();

  const draw = () => {
    for (const [name, row] of rows) show(row, held.has(name));
  };

  for (const [name, { field, input, what }] of Object.entries(fields)) {
    const row = clone('held-template');
    const el = parts(row);
    setText(el.what, `The ${what} is kept for the next try; type to replace it`);
    el.what.id = `held-${name}`;
    setAttribute(el.remove, 'aria-describedby', el.what.id);
    el.remove.addEventListener('click', () => {
      held.delete(name);
      draw();
      announce(`The ${what} is removed.`);
      onRemoved();
      input.focus();
    });
    rows.set(name, row);
    field.querySelector('.field-error').before(row);
  }

  return {
    has: (name) => held.has(name),
    /** Takes a secret out of its field for good; what was typed before counts until something else is typed. */
    take(name) {
      const { input } = fields[name];
      const typed = input.value.trim();
      if (typed) held.set(name, typed);
      input.value = '';
      return held.get(name) ?? '';
    },
    /** @returns {boolean} whether there was one */
    drop(name) {
      const had = held.delete(name);
      draw();
      return had;
    },
    /** Nothing stays, neither what was sent nor what was only typed. */
    forget() {
      held.clear();
      for (const { input } of Object.values(fields)) input.value = '';
      draw();
    },
    draw,
  };
}

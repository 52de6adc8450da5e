/**
 * The few things that every view does with the document. Text is only ever set as text; a value that has
 * not changed is not written, so that an update neither moves focus nor makes a screen reader speak.
 */

/** @param {string} id of a <template> @returns {HTMLElement} */
export function clone(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
}

/** The parts of a view by their `data-el`. @param {ParentNode} root @returns {Record<string, any>} */
export function parts(root) {
  const found = {};
  for (const element of root.querySelectorAll('[data-el]')) found[element.dataset.el] ??= element;
  return found;
}

/** @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} element @param {boolean} shown */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** @param {Element} element @param {string} name @param {string|null} value */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Sets or takes away a link's target; without one it is plain text to everybody. */
export function setLink(anchor, url) {
  setAttribute(anchor, 'href', url);
}

/**
 * Makes `parent`'s children match `items`, keeping the elements (and the focus) of those that stay.
 * @template T
 * @param {Element} parent @param {T[]} items @param {(item: T, index: number) => string} keyOf
 * @param {(item: T) => HTMLElement} create @param {(element: any, item: T) => void} update
 */
export function reconcile(parent, items, keyOf, create, update) {
  const focused = document.activeElement;
  const known = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  let place = parent.firstElementChild;
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    let element = known.get(key);
    known.delete(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  });
  for (const left of known.values()) left.remove();
  // Moving an element drops its focus.
  if (focused !== document.activeElement && focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Fills a list with lines of text. @param {Element} list @param {string[]} lines */
export function setLines(list, lines) {
  reconcile(list, lines, (_, index) => String(index), () => document.createElement('li'), setText);
}

/**
 * @param {Element} parent
 * @param {{key: string, tone: string, title: string, detail: string}[]} notices the bad ones have a button to try again
 * @param {() => void} [retry]
 */
export function drawNotices(parent, notices, retry) {
  const hadFocus = parent.contains(document.activeElement);
  reconcile(parent, notices, (notice) => notice.key, () => clone('notice-template'), (element, notice) => {
    const el = parts(element);
    element.className = `notice ${notice.tone}`;
    setText(el.title, notice.title);
    setText(el.detail, notice.detail);
    show(el.detail, Boolean(notice.detail));
    show(el.retry, notice.tone === '-bad' && Boolean(retry));
    el.retry.onclick = () => retry();
  });
  // What was tried again went well: the keyboard is not thrown to the top of the page.
  if (hadFocus && (!parent.contains(document.activeElement) || document.activeElement.closest('[hidden]'))) parent.closest('section')?.querySelector('h1')?.focus({ preventScroll: true });
}

/** Fills a <select>, keeping its value if it is still there. */
export function setChoices(select, choices, fallback) {
  const value = select.value;
  reconcile(select, choices, (choice) => String(choice.value), () => document.createElement('option'), (option, choice) => {
    setText(option, choice.label);
    option.value = String(choice.value);
  });
  const has = (wanted) => choices.some((choice) => String(choice.value) === String(wanted));
  if (has(value) && select.dataset.touched) select.value = value;
  else if (has(fallback)) select.value = String(fallback);
}

/**
 * A disclosure that is left behind like a menu: by choosing (what answers within it stays), by Escape, by a click or the
 * focus elsewhere.
 * @param {HTMLDetailsElement} menu
 */
export function mountMenu(menu) {
  const summary = menu.firstElementChild;
  // Before the choice does anything: a dialog gives the focus back to what had it, and that must not be hidden.
  menu.addEventListener('click', (event) => {
    if (!event.target.closest('.menu-item:not([data-stays])')) return;
    menu.open = false;
    summary.focus();
  }, { capture: true });
  menu.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    summary.focus();
  });
  menu.addEventListener('focusout', (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  document.addEventListener('pointerdown', (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
}

/** Says something to people who do not see it. Sent in one breath, later words do not drown earlier ones. */
export function announce(text) {
  const region = document.getElementById('announcer');
  const line = document.createElement('p');
  line.textContent = text;
  region.append(line);
  while (region.children.length > 5) region.firstElementChild.remove();
}

/** @param {string} text @returns {Promise<boolean>} false where the browser does not allow it */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * A copy button that says what happened and returns to its own words.
 * @param {HTMLElement} label @param {string} text @param {string} what
 */
export async function copyWithFeedback(label, text, what) {
  const copied = await copyText(text);
  label.dataset.words ??= label.textContent;
  label.textContent = copied ? 'Copied' : 'Not allowed';
  announce(copied ? `${what} copied.` : `The browser does not allow copying. Select the ${what} and copy it by hand.`);
  clearTimeout(Number(label.dataset.timer));
  label.dataset.timer = String(setTimeout(() => setText(label, label.dataset.words), 2000));
  return copied;
}

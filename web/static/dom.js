// The few things that every module of ours does with the document.

/**
 * What we use of htmx.
 * @typedef {object} Htmx
 * @property {(verb: string, path: string, options: {source: Element, target: Element, swap: string}) => Promise<void>} ajax
 * @property {(on: Element, name: string) => boolean} trigger
 */

export const htmx = /** @type {Htmx} */ (Reflect.get(window, "htmx"));

/**
 * @param {string} id
 * @returns {HTMLElement} the element, which the page must have
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found;
}

/**
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null} the nearest element around the event's target that matches
 */
export function near(event, selector) {
  const found = event.target instanceof Element ? event.target.closest(selector) : null;
  return found instanceof HTMLElement ? found : null;
}

/** @param {string} tag @param {string} [className] @param {string} [text] */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Say something to a screen reader, and to nobody else. @param {string} words */
export function say(words) {
  byId("said").textContent = words;
}

const ahead = Number(document.documentElement.dataset.now) - Date.now();

/** The server's clock in Unix milliseconds, as far as this page can know it. */
export function serverNow() {
  return Date.now() + ahead;
}

/** @param {string} key @returns {string | null} */
export function recall(key) {
  try {
    return localStorage.getItem(`stepscope.${key}`);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string | null} value */
export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(`stepscope.${key}`);
    else localStorage.setItem(`stepscope.${key}`, value);
  } catch {
    // Storage may be switched off: the choice lasts as long as the page.
  }
}

/** Whether a key press belongs to something that is typed into. @param {KeyboardEvent} event */
export function typing(event) {
  const at = event.target;
  if (at instanceof HTMLInputElement) return !["checkbox", "radio"].includes(at.type);
  return at instanceof HTMLTextAreaElement || at instanceof HTMLSelectElement;
}

/** Change what the address says of this page, without a step in the browser's history. */
/** @param {Record<string, string | null>} wanted */
export function address(wanted) {
  const here = new URL(location.href);
  for (const [key, value] of Object.entries(wanted)) {
    if (value === null || value === "") here.searchParams.delete(key);
    else here.searchParams.set(key, value);
  }
  if (here.href !== location.href) history.replaceState(history.state, "", here);
}

/** @param {string} key @returns {string | null} */
export function asked(key) {
  return new URL(location.href).searchParams.get(key);
}

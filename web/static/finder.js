// The search box of a list: what is typed is searched at once, the address follows, and a list of ways to go on opens
// under it. Without this module the box is a plain form.

import { byId, make, near } from "./dom.js";
import { ask as askList } from "./listing.js";

/**
 * @typedef {object} Completion
 * @property {number} start
 * @property {number} end
 * @property {string} text
 * @property {string} says
 * @property {number} [count]
 */

const WAIT_MS = 300;

const list = byId("completions");
/** @type {Completion[]} */
let shown = [];
/** The text that `shown` was asked for. */
let shownFor = "";
let chosen = -1;
let asked = 0;
/** Ways to go on are asked for, and have not come. */
let coming = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

/** The box; a page without traces has none. */
function box() {
  const found = document.getElementById("q");
  return found instanceof HTMLInputElement ? found : null;
}

/** The list's address with another search. @param {string} q */
function addressOf(q) {
  const there = new URL(location.href);
  if (q.trim()) there.searchParams.set("q", q.trim());
  else there.searchParams.delete("q");
  there.searchParams.delete("after");
  return there;
}

/** Ask the list for what the page's address says. */
function ask() {
  askList();
  document.dispatchEvent(new Event("list-asked"));
}

/** Search for what is in the box. @param {boolean} keep make it a step of the browser's history */
function search(keep) {
  clearTimeout(waiting);
  const input = box();
  if (!input) return;
  const there = addressOf(input.value);
  if (there.href === location.href) return;
  if (keep) history.pushState(null, "", there);
  else history.replaceState(null, "", there);
  input.removeAttribute("aria-invalid");
  ask();
}

function close() {
  shown = [];
  chosen = -1;
  list.hidden = true;
  box()?.setAttribute("aria-expanded", "false");
  box()?.removeAttribute("aria-activedescendant");
}

function draw() {
  const input = box();
  if (!input || !shown.length) return close();
  list.replaceChildren(
    ...shown.map(({ text, says, count }, place) => {
      const item = make("li");
      item.id = `completion-${place}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(place === chosen));
      item.append(make("code", "", text), make("span", "", says));
      if (count !== undefined) item.append(make("span", "n num", String(count)));
      return item;
    }),
  );
  const at = input.getBoundingClientRect();
  list.style.left = `${at.left + scrollX}px`;
  list.style.top = `${at.bottom + scrollY + 4}px`;
  list.style.width = `${at.width}px`;
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  if (chosen >= 0) input.setAttribute("aria-activedescendant", `completion-${chosen}`);
  else input.removeAttribute("aria-activedescendant");
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
}

/** Ask how the search may go on where the caret is. */
async function complete() {
  const input = box();
  const base = input?.form?.dataset.completions;
  if (!input || !base) return;
  asked += 1;
  coming = true;
  const mine = asked;
  const typed = input.value;
  const query = new URLSearchParams({ q: typed, at: String(input.selectionStart ?? typed.length) });
  const items = await fetch(`${base}&${query}`)
    .then(async (answer) => (answer.ok ? (await answer.json()).items : null))
    .catch(() => null);
  if (mine !== asked) return;
  coming = false;
  if (!items || document.activeElement !== box()) return;
  shown = items;
  shownFor = typed;
  chosen = -1;
  draw();
}

/**
 * Where the term that a way completes ends in the box by now: letters typed since it was asked for belong to the term as
 * long as it begins so. None, if the text has become another.
 * @param {string} text @param {Completion} way
 */
function endOf(text, way) {
  const end = way.end + text.length - shownFor.length;
  if (text === shownFor) return end;
  const same =
    end >= way.start &&
    text.slice(0, way.start) === shownFor.slice(0, way.start) &&
    text.slice(end) === shownFor.slice(way.end) &&
    way.text.toLowerCase().startsWith(text.slice(way.start, end).toLowerCase());
  return same ? end : null;
}

/** Put a way to go on into the box. @param {Completion | undefined} way */
function take(way) {
  const input = box();
  if (!input || !way) return;
  const end = endOf(input.value, way);
  if (end === null) return;
  const after = input.value.slice(end);
  // A whole term is followed by a space, and searched; one that goes on (`latency>`) is no search yet.
  const whole = /[\w"*]$/.test(way.text);
  const space = whole && !after.startsWith(" ") ? " " : "";
  input.value = input.value.slice(0, way.start) + way.text + space + after;
  const caret = way.start + way.text.length + space.length;
  input.setSelectionRange(caret, caret);
  close();
  clearTimeout(waiting);
  if (whole) search(false);
  void complete();
}

document.addEventListener("input", (event) => {
  if (event.target !== box()) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => search(false), WAIT_MS);
  void complete();
});

document.addEventListener("focusin", (event) => {
  if (event.target === box()) void complete();
});
document.addEventListener("focusout", (event) => {
  if (event.target === box()) setTimeout(close, 100);
});

document.addEventListener("keydown", (event) => {
  if (event.target !== box()) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!shown.length) return;
    event.preventDefault();
    const way = event.key === "ArrowDown" ? 1 : -1;
    chosen = (chosen + way + shown.length + (chosen < 0 && way < 0 ? 1 : 0)) % shown.length;
    draw();
  } else if ((event.key === "Enter" && chosen >= 0) || (event.key === "Tab" && !event.shiftKey && shown.length)) {
    event.preventDefault();
    take(shown[Math.max(0, chosen)]);
  } else if (event.key === "Escape") {
    event.preventDefault();
    if (shown.length || coming) {
      asked += 1; // what is still coming is not wanted any more
      coming = false;
      close();
    } else {
      box()?.blur();
    }
  }
});

list.addEventListener("mousedown", (event) => {
  const item = near(event, "li");
  event.preventDefault(); // the box keeps the focus
  if (item) take(shown[Number(item.id.slice("completion-".length))]);
});

document.addEventListener("submit", (event) => {
  if (!(event.target instanceof HTMLFormElement) || event.target.id !== "filter") return;
  event.preventDefault();
  close();
  search(true);
});

addEventListener("popstate", () => {
  const input = box();
  if (!input) return;
  input.value = new URL(location.href).searchParams.get("q") ?? "";
  ask();
});

document.addEventListener("htmx:after:swap", () => {
  const problem = document.getElementById("q-problem")?.textContent;
  box()?.toggleAttribute("aria-invalid", Boolean(problem));
  if (problem) box()?.setAttribute("aria-invalid", "true");
  if (shown.length) draw();
});

/** Follow a link to another list of the same page without loading it anew. @param {string} address */
export function goSoftly(address) {
  history.pushState(null, "", address);
  const input = box();
  if (input) input.value = new URL(location.href).searchParams.get("q") ?? "";
  ask();
}

document.addEventListener("click", (event) => {
  const link = near(event, "a[data-soft]");
  if (!(link instanceof HTMLAnchorElement) || !(event instanceof MouseEvent)) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  goSoftly(link.href);
});

/** Go to the box. */
export function focusBox() {
  box()?.select();
}

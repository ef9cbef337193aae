// The search box of a list: what is typed is searched at once, and the address follows. Without this module the box is
// a plain form.

import { byId, htmx } from "./dom.js";

const WAIT_MS = 300;

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
export function ask() {
  const section = byId("list");
  void htmx.ajax("GET", location.pathname + location.search, { source: section, target: section, swap: "outerMorph" });
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

document.addEventListener("input", (event) => {
  if (event.target !== box()) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => search(false), WAIT_MS);
});

document.addEventListener("keydown", (event) => {
  if (event.target !== box() || event.key !== "Escape") return;
  event.preventDefault();
  box()?.blur();
});

document.addEventListener("submit", (event) => {
  if (!(event.target instanceof HTMLFormElement) || event.target.id !== "filter") return;
  event.preventDefault();
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
});

/** Go to the box. */
export function focusBox() {
  box()?.select();
}

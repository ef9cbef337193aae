// Asking for the list: one question at a time, always for what the page's address says. A reader's question ends the
// one before, whose answer would be of another list.

import { byId, htmx } from "./dom.js";

const REST_MS = 500;

let round = 0;
let at = 0;
let busy = false;
/** What changed while an answer was awaited is asked for after it. @type {(() => boolean) | null} */
let again = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

/** @param {boolean} hold keep newer rows back and count them */
async function send(hold) {
  clearTimeout(waiting);
  const mine = ++round;
  at = Date.now();
  busy = true;
  again = null;
  const section = byId("list");
  const there = new URL(location.href);
  for (const key of ["peek", "upto"]) there.searchParams.delete(key);
  if (hold && section.dataset.newest && !section.dataset.after) there.searchParams.set("upto", section.dataset.newest);
  const address = there.pathname + there.search;
  // The element says hx-sync="this:replace": whatever was under way is given up.
  await htmx.ajax("GET", address, { source: section, target: section, swap: "outerMorph" });
  if (mine !== round) return;
  busy = false;
  if (again) update(again);
}

/** The reader asked for another list: the page's address says which. */
export function ask() {
  void send(false);
}

/**
 * What is listed has changed: ask again, once for many changes. A question of the reader's is not disturbed by it.
 * @param {() => boolean} hold whether newer rows are to be kept back and counted
 */
export function update(hold) {
  if (busy) {
    again = hold;
    return;
  }
  // As long as the search cannot be read, the rows and the sentence under its field stay.
  if (document.getElementById("q-problem")?.textContent) return;
  clearTimeout(waiting);
  const left = at + REST_MS - Date.now();
  if (left > 0) waiting = setTimeout(() => update(hold), left);
  else void send(hold());
}

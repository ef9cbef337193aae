// A part of a page that asks for itself again when something in its project changes: `data-again` is its address,
// `data-again-at` whether it does so anywhere, only at the page's top, or never.

import { htmx } from "./dom.js";

const AT_TOP = 60;
const REST_MS = 1000;

let asked = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let waiting;

function ask() {
  clearTimeout(waiting);
  const part = document.querySelector("[data-again]");
  if (!(part instanceof HTMLElement)) return;
  const { again = "", againAt } = part.dataset;
  if (againAt === "never" || (againAt === "top" && scrollY > AT_TOP)) return;
  const left = asked + REST_MS - Date.now();
  if (left > 0) {
    waiting = setTimeout(ask, left);
    return;
  }
  asked = Date.now();
  void htmx.ajax("GET", again, { source: part, target: part, swap: "outerMorph" });
}

document.getElementById("live")?.addEventListener("traces", ask);

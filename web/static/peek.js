// A trace in short beside the list: `p` opens it for the row with the focus, j and k go on in it.

import { address, asked, byId, htmx, near } from "./dom.js";

const panel = byId("peek");
const main = byId("main");
let shown = "";

/** The row of a trace. @param {string} id */
const rowOf = (id) => document.getElementById(`t-${id}`);

/** @param {string} id a trace in the list */
function open(id) {
  const link = rowOf(id)?.querySelector("th a");
  if (!(link instanceof HTMLAnchorElement) || id === shown) return;
  shown = id;
  panel.hidden = false;
  main.classList.add("peeking");
  mark();
  address({ peek: id });
  void htmx.ajax("GET", `${link.pathname}/peek`, { source: panel, target: panel, swap: "innerHTML" });
}

export function closePeek() {
  if (panel.hidden) return false;
  panel.hidden = true;
  panel.replaceChildren();
  main.classList.remove("peeking");
  const row = rowOf(shown);
  shown = "";
  mark();
  address({ peek: null });
  row?.querySelector("a")?.focus();
  return true;
}

/** Show which row is looked at. */
function mark() {
  for (const row of document.querySelectorAll("tr.peeked")) row.classList.remove("peeked");
  if (shown) rowOf(shown)?.classList.add("peeked");
}

/** Open the panel for the row with the focus, else for the first; close it when it is open for that. */
export function togglePeek() {
  const row = document.activeElement?.closest("#traces tr") ?? rowOf(shown) ?? document.querySelector("#traces tr");
  const id = row?.id.slice(2);
  if (!id) return;
  if (id === shown) closePeek();
  else open(id);
}

document.addEventListener("click", (event) => {
  const button = near(event, "[data-peek]");
  if (button) open(button.dataset.peek ?? "");
  else if (near(event, "[data-close-peek]")) closePeek();
});
document.addEventListener("focusin", (event) => {
  const row = near(event, "#traces tr");
  if (shown && row && event.target instanceof HTMLAnchorElement) open(row.id.slice(2));
});
document.addEventListener("htmx:after:swap", mark);

const wanted = asked("peek");
if (wanted) {
  // htmx starts after the modules; the panel needs it.
  document.addEventListener("htmx:after:process", () => open(wanted), { once: true });
}

// Tables of links (`data-table`): a click anywhere in a row follows its link, j and k go from row to row.

import { commands } from "./commands.js";
import { near } from "./dom.js";

const ROWS = "[data-table] tbody tr, [data-table] > [data-row]";

/** The link that a row stands for. @param {Element | null | undefined} row */
function linkOf(row) {
  const link = row?.querySelector("th a, .turn-of");
  return link instanceof HTMLAnchorElement ? link : null;
}

/** Put the focus on the next row's link. @param {number} way */
function move(way) {
  const rows = [...document.querySelectorAll(ROWS)];
  const here = document.activeElement?.closest("tr, [data-row]");
  const at = here ? rows.indexOf(here) : -1;
  const next = rows[at < 0 ? (way > 0 ? 0 : rows.length - 1) : at + way];
  const link = linkOf(next);
  link?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const row = near(event, "[data-table] tbody tr");
  if (!row || near(event, "a,button,summary,input,label") || !(event instanceof MouseEvent)) return;
  if (String(getSelection())) return;
  const link = linkOf(row);
  if (!link) return;
  if (event.ctrlKey || event.metaKey) window.open(link.href, "_blank", "noopener");
  else location.assign(link.href);
});

commands.add([
  { about: "Rows", keys: "j", words: "Go to the next row", run: () => move(1) },
  { keys: "k", words: "Go to the row before", run: () => move(-1) },
  { keys: "Enter", words: "Open the row" },
]);

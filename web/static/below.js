// What a step and everything below it took together: beside its own figures, in its pane.

import { make } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { LACKS_PRICE, LACKS_USAGE, MISSING, NO_PRICE, NO_USAGE } from "./skeleton.js";

/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

const NAMED = 3; // steps without a price that are named before the rest is counted

/**
 * Write the line into a step's article, or take it out.
 * @param {Element} article
 * @param {Skeleton} tree
 * @param {number} row
 */
export function below(article, tree, row) {
  article.querySelector(".with-below")?.remove();
  const line = article.querySelector("p.line");
  const end = tree.end[row] ?? row + 1;
  if (!line || end <= row + 1) return;
  const { start, duration: lengths, tokens, cost: costs } = tree.columns;
  const wall = (tree.reach[row] ?? 0) - (start[row] ?? 0);
  const own = Math.floor((lengths[row] ?? -1) / 1000);
  const made = make("p", "line with-below");
  const missing = (tree.flags(row) & MISSING) > 0;
  made.append(part(missing ? "below it" : "with all below it", `${count(end - row - Number(missing))} steps`));
  if (own >= 0 && wall > own && !tree.running.length)
    made.append(part("until the last of them ended", duration(wall * 1000)));
  const flags = tree.flags(row);
  if ((tokens[row] ?? -1) >= 0) made.append(part("tokens", count(tokens[row] ?? 0)));
  if ((costs[row] ?? -1) >= 0) made.append(part("cost", cost(costs[row] ?? 0)));
  if (flags & NO_PRICE) made.append(lacking(tree, row, end, LACKS_PRICE, "partial: no price for"));
  if (flags & NO_USAGE) made.append(lacking(tree, row, end, LACKS_USAGE, "partial: no tokens told by"));
  line.after(made);
}

/** @param {string} words @param {string} figure */
function part(words, figure) {
  const made = make("span", "", `${words} `);
  made.append(make("b", "", figure));
  return made;
}

/** @param {Skeleton} tree @param {number} row @param {number} end @param {number} flag @param {string} words */
function lacking(tree, row, end, flag, words) {
  const made = make("span", "", `${words} `);
  let found = 0;
  for (let at = row; at < end; at++) {
    if (!(tree.flags(at) & flag)) continue;
    found += 1;
    if (found > NAMED) continue;
    const link = document.createElement("a");
    link.className = "link";
    link.href = `?span=${tree.id(at)}`;
    link.dataset.step = tree.id(at);
    link.append(make("bdi", "", tree.name(at)));
    made.append(found > 1 ? ", " : "", link);
  }
  if (found > NAMED) made.append(` and ${count(found - NAMED)} more`);
  return made;
}

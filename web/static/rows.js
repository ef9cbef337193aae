// Draws one row of the tree: the same markup as web/templates/traces/_row.html, changed in place when it changes.

import { cost, count, duration } from "./format.js";
import { CHILD_ERROR, ORPHAN } from "./skeleton.js";

/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

const SVG = "http://www.w3.org/2000/svg";
const MAX_INDENT = 12;
const HOT_SHARE = 5;

/** @type {Record<string, [string, string]>} */
export const KINDS = {
  chain: ["C", "chain"],
  agent: ["A", "agent"],
  llm: ["L", "model call"],
  tool: ["T", "tool"],
  retriever: ["R", "retriever"],
  embedding: ["E", "embedding"],
  reranker: ["K", "reranker"],
  guardrail: ["G", "guardrail"],
  evaluator: ["V", "evaluator"],
  prompt: ["P", "prompt"],
  other: ["O", "other step"],
};

/** @type {Record<string, [string, string, string]>} */
const MARKS = {
  own: ["own", "this step failed", "✕"],
  through: ["below", "failed, as a step below did", "▲"],
  below: ["below", "a step below failed", "▲"],
  running: ["now", "running", ""],
  abandoned: ["lost", "stopped reporting", "?"],
};

/** One row's elements, kept so that a change touches only what changed. */
export class Row {
  constructor() {
    this.element = make("div", "row");
    this.name = make("span", "name");
    this.lane = document.createElementNS(SVG, "svg");
    this.lane.setAttribute("aria-hidden", "true");
    this.bar = rect("bar");
    this.wait = rect("wait");
    this.took = make("span", "r took");
    this.tokens = make("span", "r tokens");
    this.usd = make("span", "r usd");
    this.lane.append(this.bar);
    this.element.append(this.name, this.lane, this.took, this.tokens, this.usd);
    this.element.setAttribute("role", "treeitem");
    this.label = "";
  }

  /**
   * Show row number `row` as it is now.
   * @param {Skeleton} tree
   * @param {number} row
   * @param {{folded: Set<string>, selected: string | null, total: number}} view
   */
  draw(tree, row, { folded, selected, total }) {
    const { depth, tokens, cost: costs, duration: durations } = tree.columns;
    const id = tree.id(row);
    const status = tree.status(row);
    const kind = tree.kind(row);
    const deep = depth[row] ?? 0;
    const took = tree.took(row);
    const bar = tree.bar(row, total);
    const used = tokens[row] ?? -1;
    const price = costs[row] ?? -1;
    const mark = markOf(status, tree.columns.flags[row] ?? 0);
    const hot = deep > 0 && total > 0 && Math.floor(took / 1000) * HOT_SHARE >= total;

    put(this.element, "class", `row d${Math.min(deep, MAX_INDENT)}${mark === "own" ? " failed" : ""}`);
    put(this.element, "id", `s-${id}`);
    put(this.element, "aria-level", String(deep + 1));
    put(this.element, "aria-posinset", String(tree.position[row]));
    put(this.element, "aria-setsize", String(tree.siblings(row)));
    put(this.element, "aria-selected", String(id === selected));
    if (tree.children[row]) put(this.element, "aria-expanded", String(!folded.has(id)));
    else this.element.removeAttribute("aria-expanded");

    this.#label(tree, row, mark, kind);
    put(this.lane, "class", `lane b-${kind}${mark === "own" ? " bad" : status === "running" ? " open" : ""}`);
    put(this.bar, "x", bar.x);
    put(this.bar, "width", bar.width);
    if (bar.head) {
      put(this.wait, "x", bar.x);
      put(this.wait, "width", bar.head);
      if (!this.wait.parentNode) this.lane.append(this.wait);
    } else this.wait.remove();

    write(this.took, (durations[row] ?? -1) >= 0 || status === "running" ? duration(took) : "");
    put(this.took, "class", hot ? "r took hot" : "r took");
    write(this.tokens, used < 0 ? "" : count(used));
    const unpriced = used > 0 && (kind === "llm" || kind === "embedding") ? "no price" : "";
    write(this.usd, price < 0 ? unpriced : cost(price));
  }

  /**
   * The name's side of the row: built anew only when something in it changed.
   * @param {Skeleton} tree
   * @param {number} row
   * @param {string} mark
   * @param {string} kind
   */
  #label(tree, row, mark, kind) {
    const { depth, flags, model, models } = tree.columns;
    const id = tree.id(row);
    const deep = depth[row] ?? 0;
    const flag = flags[row] ?? 0;
    const asked = models[model[row] ?? -1] ?? "";
    const label = [id, kind, deep, tree.name(row), mark, flag & ORPHAN, asked].join("\u0000");
    if (label === this.label) return;
    this.label = label;

    const fold = make("i", "fold");
    fold.setAttribute("aria-hidden", "true");
    const [letter, words] = KINDS[kind] ?? ["O", "other step"];
    const badge = make("abbr", `k k-${kind}`, letter);
    badge.title = words;
    const link = document.createElement("a");
    link.href = `?span=${id}`;
    link.tabIndex = -1;
    link.append(make("bdi", "", tree.name(row)));
    /** @type {HTMLElement[]} */
    const parts = [fold, badge];
    if (deep > MAX_INDENT) parts.push(titled(make("span", "deep", String(deep + 1)), `level ${deep + 1}`));
    parts.push(link);
    const said = MARKS[mark];
    if (said) parts.push(titled(make("span", said[0], said[2]), said[1]));
    if (flag & ORPHAN) parts.push(titled(make("span", "lost", "⌁"), "its parent has not arrived"));
    if (asked) parts.push(make("span", "model", asked));
    this.name.replaceChildren(...parts);
  }
}

/** What a row's mark says. @param {string} status @param {number} flag */
function markOf(status, flag) {
  if (status === "error") return flag & CHILD_ERROR ? "through" : "own";
  if (status === "running" || status === "abandoned") return status;
  return flag & CHILD_ERROR ? "below" : "";
}

/** @param {string} tag @param {string} [className] @param {string} [text] */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** @param {HTMLElement} element @param {string} title */
function titled(element, title) {
  element.title = title;
  return element;
}

/** @param {string} className */
function rect(className) {
  const element = document.createElementNS(SVG, "rect");
  for (const [name, value] of [
    ["class", className],
    ["y", "9"],
    ["height", "10"],
    ["rx", "2"],
  ]) {
    element.setAttribute(name ?? "", value ?? "");
  }
  return element;
}

/** @param {Element} element @param {string} name @param {string} value */
function put(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

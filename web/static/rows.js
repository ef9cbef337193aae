// Draws one row of the tree: the same markup as web/templates/traces/_row.html, changed in place when it changes.

import { make } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { percent, WHOLE } from "./lane.js";
import { CHILD_ERROR, MISSING, NO_PRICE, NO_USAGE, ORPHAN, REPEATED, SUMMED } from "./skeleton.js";

/** @typedef {import("./skeleton.js").Skeleton} Skeleton */
/** @typedef {import("./lane.js").Lane} Lane */

/**
 * How the tree is looked at.
 * @typedef {object} View
 * @property {Set<string>} folded
 * @property {Set<string>} opened
 * @property {string | null} selected
 * @property {Lane} lane
 * @property {number} total microseconds
 * @property {Uint8Array | null} found when something is searched: 2 where it is, 1 where it is below
 * @property {import("./path.js").Path | null} critical
 */

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

/** @type {[string, string]} */
const NOT_THERE = ["?", "a step that others name as their parent, and that has not arrived"];

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
    this.tail = rect("tail");
    this.tail.setAttribute("y", "13");
    this.tail.setAttribute("height", "2");
    this.tail.removeAttribute("rx");
    /** @type {SVGElement[]} */
    this.path = [];
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
   * @param {View} view
   */
  draw(tree, row, view) {
    const { folded, opened, selected, lane, total, found } = view;
    const deep = tree.columns.depth[row] ?? 0;
    const id = tree.id(row);
    const kind = tree.kind(row);
    const closed = Boolean(tree.run[row]) && !opened.has(id) && !found;
    const facts = closed ? many(tree, row) : one(tree, row, total);
    const { mark } = facts;
    const missing = tree.flags(row) & MISSING ? " missing" : "";
    const hit = found ? (found[row] === 2 ? " hit" : " way") : "";

    put(this.element, "class", `row d${Math.min(deep, MAX_INDENT)}${mark === "own" ? " failed" : ""}${missing}${hit}`);
    put(this.element, "id", `s-${id}`);
    put(this.element, "aria-level", String(deep + 1));
    put(this.element, "aria-posinset", String(tree.position[row]));
    put(this.element, "aria-setsize", String(tree.siblings(row)));
    put(this.element, "aria-selected", String(id === selected));
    if (closed) put(this.element, "aria-expanded", "false");
    else if (tree.children[row]) put(this.element, "aria-expanded", String(!folded.has(id) || Boolean(found)));
    else this.element.removeAttribute("aria-expanded");

    this.#label(tree, row, kind, closed, facts);
    const tone = mark === "own" ? " bad" : facts.running ? " open" : "";
    put(this.lane, "class", `lane b-${kind}${tone}${closed || missing ? " many" : ""}`);
    this.#bars(facts, lane);
    this.#path(tree, row, closed, view);

    write(this.took, missing ? "" : facts.duration);
    put(this.took, "class", facts.hot ? "r took hot" : "r took");
    const figures = facts.flags & REPEATED ? " twice" : facts.flags & SUMMED ? " rolled" : "";
    const lacks = lacking(facts);
    for (const cell of [this.tokens, this.usd]) {
      if (lacks) put(cell, "title", lacks);
      else cell.removeAttribute("title");
    }
    put(this.tokens, "class", `r tokens${figures}`);
    put(this.usd, "class", `r usd${figures}`);
    write(this.tokens, facts.tokens < 0 ? "" : count(facts.tokens) + (facts.flags & NO_USAGE ? "+" : ""));
    write(this.usd, money(kind, facts));
  }

  /** @param {Facts} facts @param {Lane} lane */
  #bars(facts, lane) {
    const bar = lane.bar(facts.start, facts.length);
    put(this.bar, "x", bar ? percent(bar.x) : "0.00%");
    put(this.bar, "width", bar ? percent(bar.width) : "0.00%");
    const end = bar ? bar.x + bar.width : 0;
    let head = 0;
    if (bar && facts.first >= 0) {
      head = lane.plain ? lane.place(facts.first) : lane.place(facts.start + facts.first) - bar.x;
      head = Math.max(0, Math.min(bar.width, head));
    }
    this.#piece(this.wait, bar ? bar.x : 0, head);
    const reach = facts.reach < 0 ? 0 : Math.min(WHOLE, lane.place(facts.reach));
    this.#piece(this.tail, end, bar ? Math.max(0, reach - end) : 0);
  }

  /** @param {SVGElement} piece @param {number} x @param {number} width */
  #piece(piece, x, width) {
    if (width <= 0) return piece.remove();
    put(piece, "x", percent(x));
    put(piece, "width", percent(width));
    if (!piece.parentNode) this.lane.append(piece);
  }

  /** The stretches in which this row set the length of the whole. @param {Skeleton} tree @param {number} row @param {boolean} closed @param {View} view */
  #path(tree, row, closed, { critical, folded, lane }) {
    if (!critical && !this.path.length) return;
    const hides = closed || folded.has(tree.id(row));
    const end = closed ? (tree.runEnd[row] ?? row + 1) : hides ? (tree.end[row] ?? row + 1) : row + 1;
    const spans = critical?.within(row, end) ?? [];
    const bars = spans.map((span) => lane.bar(span.from, span.to - span.from)).filter((bar) => bar !== null);
    while (this.path.length > bars.length) this.path.pop()?.remove();
    bars.forEach((bar, at) => {
      let piece = this.path[at];
      if (!piece) {
        piece = rect("crit");
        piece.setAttribute("y", "21");
        piece.setAttribute("height", "3");
        piece.removeAttribute("rx");
        this.path[at] = piece;
      }
      this.#piece(piece, bar.x, bar.width);
    });
  }

  /**
   * The name's side of the row: built anew only when something in it changed.
   * @param {Skeleton} tree
   * @param {number} row
   * @param {string} kind
   * @param {boolean} closed
   * @param {Facts} facts
   */
  #label(tree, row, kind, closed, { mark, model }) {
    const id = tree.id(row);
    const deep = tree.columns.depth[row] ?? 0;
    const orphan = !closed && tree.flags(row) & ORPHAN;
    const times = tree.run[row] ?? 0;
    const label = [id, kind, deep, tree.name(row), tree.flags(row) & MISSING, mark, orphan, model, times, closed].join(
      "\u0000",
    );
    if (label === this.label) return;
    this.label = label;

    const fold = make("i", "fold");
    fold.setAttribute("aria-hidden", "true");
    const [letter, words] = tree.flags(row) & MISSING ? NOT_THERE : (KINDS[kind] ?? ["O", "other step"]);
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
    if (times) {
      parts.push(titled(make("span", "times", `×${count(times)}`), `${count(times)} steps alike, one after the other`));
    }
    const said = MARKS[mark];
    if (said) parts.push(titled(make("span", said[0], said[2]), said[1]));
    if (orphan) parts.push(titled(make("span", "lost", "⌁"), "its parent has not arrived"));
    if (model) {
      const small = make("span", "model", model);
      parts.push(closed ? titled(small, "the shortest, the middle and the longest of them") : small);
    }
    this.name.replaceChildren(...parts);
  }
}

/**
 * What a row says, for one step or for many alike. Times in microseconds from the trace's first instant.
 * @typedef {object} Facts
 * @property {string} mark
 * @property {boolean} running
 * @property {boolean} hot
 * @property {string} model
 * @property {number} start
 * @property {number} length
 * @property {number} first from the step's start, or -1
 * @property {number} reach when the last step below ended, or -1
 * @property {string} duration
 * @property {number} tokens
 * @property {number} cost
 * @property {number} flags
 */

/** @param {Skeleton} tree @param {number} row @param {number} total @returns {Facts} */
function one(tree, row, total) {
  const { start, duration: lengths, tokens, cost: costs, first_token: first, depth } = tree.columns;
  const status = tree.status(row);
  const took = tree.took(row);
  const ended = (lengths[row] ?? -1) >= 0;
  return {
    mark: markOf(status, tree.flags(row)),
    running: status === "running",
    hot: (depth[row] ?? 0) > 0 && total > 0 && Math.floor(took / 1000) * HOT_SHARE >= total,
    model: tree.model(row),
    start: start[row] ?? 0,
    length: Math.floor(took / 1000),
    first: first[row] ?? -1,
    reach: ended ? (tree.reach[row] ?? -1) : -1,
    duration: ended || status === "running" ? duration(took) : "",
    tokens: tokens[row] ?? -1,
    cost: costs[row] ?? -1,
    flags: tree.flags(row),
  };
}

/** @type {WeakMap<Skeleton, Map<number, Facts>>} */
const summed = new WeakMap();

/** @param {Skeleton} tree @param {number} row @returns {Facts} */
function many(tree, row) {
  if (tree.running.length) return sumUp(tree, row);
  const known = summed.get(tree) ?? new Map();
  summed.set(tree, known);
  const facts = known.get(row) ?? sumUp(tree, row);
  known.set(row, facts);
  return facts;
}

/** @param {Skeleton} tree @param {number} row @returns {Facts} */
function sumUp(tree, row) {
  const { start, tokens, cost: costs } = tree.columns;
  const members = tree.members(row);
  const lengths = members.map((at) => tree.took(at)).sort((a, b) => a - b);
  const failed = members.filter((at) => tree.failed(at)).length;
  const running = members.some((at) => tree.status(at) === "running");
  const begin = start[row] ?? 0;
  let [end, used, price, flags] = [0, -1, -1, SUMMED];
  for (const at of members) {
    end = Math.max(end, (start[at] ?? 0) + Math.floor(tree.took(at) / 1000));
    if ((tokens[at] ?? -1) >= 0) used = Math.max(0, used) + (tokens[at] ?? 0);
    if ((costs[at] ?? -1) >= 0) price = Math.max(0, price) + (costs[at] ?? 0);
    flags |= tree.flags(at) & (NO_PRICE | NO_USAGE);
  }
  const spread = [0, Math.floor((members.length - 1) / 2), members.length - 1].map((at) => duration(lengths[at] ?? 0));
  return {
    mark: failed ? "below" : running ? "running" : "",
    running,
    hot: false,
    model: spread.join(" · ") + (failed ? ` · ${count(failed)} failed` : ""),
    start: begin,
    length: end - begin,
    first: -1,
    reach: -1,
    duration: `≤ ${duration(lengths.at(-1) ?? 0)}`,
    tokens: used,
    cost: price,
    flags,
  };
}

/** @param {string} kind @param {Facts} facts */
function money(kind, { tokens, cost: price, flags }) {
  if (price >= 0) return cost(price) + (flags & NO_PRICE ? "+" : "");
  return tokens > 0 && (kind === "llm" || kind === "embedding" || flags & SUMMED) ? "no price" : "";
}

/** @param {Facts} facts */
function lacking({ tokens, cost: price, flags }) {
  const lacks = [];
  if (tokens >= 0 && flags & NO_USAGE) lacks.push("calls that said nothing of their tokens");
  if (price >= 0 && flags & NO_PRICE) lacks.push("calls without a price");
  return lacks.length ? `partial: there are ${lacks.join(" and ")} in it` : "";
}

/** What a row's mark says. @param {string} status @param {number} flag */
function markOf(status, flag) {
  if (status === "error") return flag & CHILD_ERROR ? "through" : "own";
  if (status === "running" || status === "abandoned") return status;
  return flag & CHILD_ERROR ? "below" : "";
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

// "Where did it go": the steps of a trace by what they are, with what they took themselves; and the critical path.

import { byId, make, near } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { criticalPath } from "./path.js";
import { KINDS } from "./rows.js";
import { MISSING, NO_PRICE, REPEATED, SUMMED } from "./skeleton.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

const MOST_PATH = 30; // steps of the critical path that are listed

/**
 * All steps of one name, kind and model.
 * @typedef {object} Group
 * @property {string} name
 * @property {string} kind
 * @property {string} model
 * @property {number[]} lengths nanoseconds
 * @property {number} total nanoseconds
 * @property {number} self nanoseconds
 * @property {number} tokens
 * @property {number} cost
 * @property {boolean} unpriced
 * @property {number} errors
 */

/** @type {[string, (group: Group) => number][]} */
const ORDERS = [
  ["Count", (group) => group.lengths.length],
  ["Total", (group) => group.total],
  ["Self", (group) => group.self],
  ["p95", (group) => p95(group)],
  ["Tokens", (group) => group.tokens],
  ["Cost", (group) => group.cost],
  ["Failed", (group) => group.errors],
];

export class Where {
  /** @param {Tree} tree @param {(name: string) => void} narrow called with the name of steps to look at */
  constructor(tree, narrow) {
    this.tree = tree;
    this.host = byId("where");
    this.order = "Self";
    tree.addEventListener("take", () => this.draw());
    this.host.addEventListener("click", (event) => {
      const order = near(event, "[data-order]");
      const row = near(event, "[data-name]");
      const step = near(event, "[data-step]");
      if (order) {
        this.order = order.dataset.order ?? "Self";
        this.draw();
        /** @type {HTMLElement | null} */ (this.host.querySelector(`[data-order="${this.order}"]`))?.focus();
      } else if (step) {
        event.preventDefault();
        tree.choose(step.dataset.step ?? "", { scroll: true });
      } else if (row) narrow(row.dataset.name ?? "");
    });
  }

  draw() {
    const tree = this.tree.skeleton;
    if (this.host.hidden || !tree) return;
    const rank = ORDERS.find(([name]) => name === this.order)?.[1] ?? ORDERS[2]?.[1];
    const groups = grouped(tree).sort((one, other) => (rank ? rank(other) - rank(one) : 0));
    this.host.replaceChildren(this.#table(groups), ...path(tree));
  }

  /** @param {Group[]} groups */
  #table(groups) {
    const table = make("table", "spent");
    const head = make("tr");
    const first = make("th", "", "Step");
    first.setAttribute("scope", "col");
    head.append(first);
    for (const [name] of ORDERS) {
      const cell = make("th", "r");
      cell.setAttribute("scope", "col");
      cell.setAttribute("aria-sort", name === this.order ? "descending" : "none");
      const button = make("button", "", name);
      button.dataset.order = name;
      cell.append(button);
      head.append(cell);
    }
    const body = make("tbody");
    const all = groups.reduce((sum, group) => sum + group.self, 0);
    for (const group of groups) body.append(line(group, all));
    const top = make("thead");
    top.append(head);
    const caption = make("caption", "sr", "Steps by name, kind and model; choose one to see only its steps");
    table.append(caption, top, body);
    return table;
  }
}

/** @param {Group} group @param {number} all nanoseconds */
function line(group, all) {
  const row = make("tr");
  const name = make("th");
  name.setAttribute("scope", "row");
  const [letter, words] = KINDS[group.kind] ?? ["O", "other step"];
  const badge = make("abbr", `k k-${group.kind}`, letter);
  badge.title = words;
  const button = make("button", "named");
  button.dataset.name = group.name;
  button.append(make("bdi", "", group.name));
  name.append(badge, button);
  if (group.model) name.append(make("span", "model", group.model));
  const self = make("td", "r self", duration(group.self));
  self.append(make("small", "", all > 0 ? `${Math.round((group.self / all) * 100)} %` : ""));
  const money = group.cost >= 0 ? cost(group.cost) + (group.unpriced ? "+" : "") : group.unpriced ? "no price" : "";
  row.append(
    name,
    make("td", "r", count(group.lengths.length)),
    make("td", "r", duration(group.total)),
    self,
    make("td", "r", duration(p95(group))),
    make("td", "r", group.tokens >= 0 ? count(group.tokens) : ""),
    make("td", "r", money),
    make("td", group.errors ? "r bad" : "r", group.errors ? count(group.errors) : ""),
  );
  return row;
}

/** @param {Group} group */
function p95({ lengths }) {
  return lengths[Math.max(0, Math.ceil(lengths.length * 0.95) - 1)] ?? 0;
}

/** @param {Skeleton} tree @returns {Group[]} */
export function grouped(tree) {
  const { name, kind, model, names, kinds } = tree.columns;
  const self = selfTimes(tree);
  const spent = ownSpent(tree);
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (let row = 0; row < tree.size; row++) {
    if (tree.flags(row) & MISSING) continue;
    const key = `${name[row]} ${kind[row]} ${model[row]}`;
    let group = groups.get(key);
    if (!group) {
      group = {
        name: names[name[row] ?? -1] ?? "",
        kind: kinds[kind[row] ?? 0] ?? "other",
        model: tree.model(row),
        lengths: [],
        total: 0,
        self: 0,
        tokens: -1,
        cost: -1,
        unpriced: false,
        errors: 0,
      };
      groups.set(key, group);
    }
    const took = tree.took(row);
    const [tokens, price] = [spent.tokens[row] ?? -1, spent.cost[row] ?? -1];
    group.lengths.push(took);
    group.total += took;
    group.self += (self[row] ?? 0) * 1000;
    if (tokens >= 0) group.tokens = Math.max(0, group.tokens) + tokens;
    if (price >= 0) group.cost = Math.max(0, group.cost) + price;
    else if (tokens > 0) group.unpriced = true;
    if (tree.status(row) === "error") group.errors += 1;
  }
  for (const group of groups.values()) group.lengths.sort((one, other) => one - other);
  return [...groups.values()];
}

/** The time of each step in which none below it was at work, in microseconds. @param {Skeleton} tree */
export function selfTimes(tree) {
  const { start } = tree.columns;
  const self = new Float64Array(tree.size);
  const until = new Float64Array(tree.size); // of each step, up to where its children have been counted
  for (let row = 0; row < tree.size; row++) {
    const begin = start[row] ?? 0;
    const length = Math.floor(tree.took(row) / 1000);
    self[row] = (self[row] ?? 0) + length;
    until[row] = begin;
    const parent = tree.parent[row] ?? -1;
    if (parent < 0) continue;
    const end = Math.min(begin + length, (start[parent] ?? 0) + Math.floor(tree.took(parent) / 1000));
    const from = Math.max(begin, until[parent] ?? 0);
    if (end > from) {
      self[parent] = (self[parent] ?? 0) - (end - from);
      until[parent] = end;
    }
  }
  return self;
}

/** What each step spent itself: sums less those of the steps below, each call once. @param {Skeleton} tree */
function ownSpent(tree) {
  const { tokens, cost: costs } = tree.columns;
  const call = (/** @type {number} */ row) => ["llm", "embedding"].includes(tree.kind(row));
  const counts = (/** @type {number} */ row) =>
    !(tree.flags(row) & REPEATED) && ((tree.flags(row) & SUMMED) > 0 || call(row));
  const own = { tokens: new Float64Array(tree.size).fill(-1), cost: new Float64Array(tree.size).fill(-1) };
  for (let row = 0; row < tree.size; row++) {
    if (!counts(row)) continue;
    own.tokens[row] = tokens[row] ?? -1;
    own.cost[row] = costs[row] ?? -1;
  }
  for (let row = 0; row < tree.size; row++) {
    const parent = tree.parent[row] ?? -1;
    if (parent < 0 || !counts(row)) continue;
    if ((tokens[row] ?? -1) > 0) own.tokens[parent] = (own.tokens[parent] ?? 0) - (tokens[row] ?? 0);
    if ((costs[row] ?? -1) > 0) own.cost[parent] = (own.cost[parent] ?? 0) - (costs[row] ?? 0);
  }
  for (let row = 0; row < tree.size; row++) {
    if (call(row) || !(tree.flags(row) & (SUMMED | NO_PRICE))) continue;
    if ((own.tokens[row] ?? -1) <= 0) own.tokens[row] = -1;
    if ((own.cost[row] ?? -1) <= 0) own.cost[row] = -1;
  }
  return own;
}

/** The critical path as a list: which steps the whole waited for, and for how long. @param {Skeleton} tree */
function path(tree) {
  /** @type {Map<string, {row: number, times: number, length: number}>} */
  const names = new Map();
  let all = 0;
  for (const [row, length] of criticalPath(tree).shares) {
    if (tree.flags(row) & MISSING) continue;
    const key = `${tree.columns.name[row]} ${tree.columns.kind[row]}`;
    const known = names.get(key) ?? { row, times: 0, length: 0 };
    names.set(key, { row: known.row, times: known.times + 1, length: known.length + length });
    all += length;
  }
  if (!all) return [];
  const shares = [...names.values()].sort((one, other) => other.length - one.length);
  const table = make("table", "spent path");
  for (const { row, times, length } of shares.slice(0, MOST_PATH)) {
    const line = make("tr");
    const name = make("th");
    name.setAttribute("scope", "row");
    const kind = tree.kind(row);
    const badge = make("abbr", `k k-${kind}`, (KINDS[kind] ?? ["O"])[0]);
    badge.title = (KINDS[kind] ?? ["", "other step"])[1];
    const link = document.createElement("a");
    link.href = `?span=${tree.id(row)}`;
    link.dataset.step = tree.id(row);
    link.append(make("bdi", "", tree.name(row)));
    name.append(badge, link);
    if (times > 1) name.append(make("span", "model", `×${count(times)}`));
    const share = make("td", "r self", `${Math.round((length / all) * 100)} %`);
    line.append(name, make("td", "r", duration(length * 1000)), share);
    table.append(line);
  }
  const title = make("h3", "", "Critical path ");
  title.append(make("small", "", `the steps that the whole waited for: ${duration(all * 1000)}`));
  const rest = shares.length - MOST_PATH;
  return rest > 0 ? [title, table, make("p", "hint", `and ${count(rest)} more`)] : [title, table];
}

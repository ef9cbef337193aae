// The critical path: the chain of steps without which the trace would have ended sooner.

/** @typedef {import("./skeleton.js").Skeleton} Skeleton */
/** @typedef {import("./lane.js").Span} Span */

/**
 * One stretch of the path.
 * @typedef {Span & {row: number}} Stretch
 */

export class Path {
  /** @param {Stretch[]} stretches */
  constructor(stretches) {
    this.byRow = [...stretches].sort((one, other) => one.row - other.row || one.from - other.from);
    this.rows = this.byRow.map((stretch) => stretch.row);
  }

  /**
   * The stretches of some rows, those that touch put together.
   * @param {number} from the first row
   * @param {number} end the row after the last
   * @returns {Span[]}
   */
  within(from, end) {
    const found = this.byRow.slice(firstAt(this.rows, from), firstAt(this.rows, end));
    if (found.length < 2) return found;
    found.sort((one, other) => one.from - other.from);
    /** @type {Span[]} */
    const joined = [];
    for (const { from: begin, to } of found) {
      const last = joined.at(-1);
      if (last && begin <= last.to + 1) last.to = Math.max(last.to, to);
      else joined.push({ from: begin, to });
    }
    return joined;
  }

  /** How long each row was on the path, in microseconds, longest first. @returns {[number, number][]} */
  get shares() {
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const { row, from, to } of this.byRow) found.set(row, (found.get(row) ?? 0) + to - from);
    return [...found].sort((one, other) => other[1] - one[1]);
  }
}

/**
 * Walk back from the end of each step at the top: whatever ended last before an instant is what that instant waited for.
 * @param {Skeleton} tree
 */
export function criticalPath(tree) {
  const { start } = tree.columns;
  /** @type {Stretch[]} */
  const found = [];
  const end = (/** @type {number} */ row) => (start[row] ?? 0) + Math.floor(tree.took(row) / 1000);
  /** @type {Map<number, number[]>} */
  const below = new Map();
  let last = -1;
  for (let row = 0; row < tree.size; row++) {
    const parent = tree.parent[row] ?? -1;
    if (parent >= 0) {
      const list = below.get(parent);
      if (list) list.push(row);
      else below.set(parent, [row]);
    } else if (last < 0 || end(row) > end(last)) last = row;
  }
  if (last < 0) return new Path(found);
  /** @type {{row: number, until: number, children: number[]}[]} */
  const open = [];
  /** @param {number} row @param {number} until */
  const enter = (row, until) => {
    const children = (below.get(row) ?? []).sort((one, other) => end(one) - end(other));
    open.push({ row, until, children });
  };
  enter(last, end(last));
  while (open.length) {
    const at = open.at(-1);
    if (!at) break;
    const begin = start[at.row] ?? 0;
    let child = at.children.pop();
    // A child that ended after this instant was not waited for, unless it began before it: then it counts up to here.
    while (child !== undefined && (start[child] ?? 0) >= at.until) child = at.children.pop();
    if (child === undefined || at.until <= begin) {
      if (at.until > begin) found.push({ row: at.row, from: begin, to: at.until });
      open.pop();
      continue;
    }
    const ended = Math.min(end(child), at.until);
    if (ended <= begin) {
      if (at.until > begin) found.push({ row: at.row, from: begin, to: at.until });
      open.pop();
      continue;
    }
    if (ended < at.until) found.push({ row: at.row, from: ended, to: at.until });
    at.until = Math.max(begin, Math.min(ended, start[child] ?? 0));
    enter(child, ended);
  }
  return new Path(found);
}

/** @param {number[]} sorted @param {number} wanted */
function firstAt(sorted, wanted) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

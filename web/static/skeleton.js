// A trace's rows as columns, and what follows from them: parents, folding, places on the lane.
// Each figure is made by the same steps as in tracer/pages/tree_rows.py.

/**
 * The answer of `…/skeleton`: one entry a step in each list, in tree order; -1 for what is not known, or not yet.
 * @typedef {object} Columns
 * @property {string} trace
 * @property {number} version
 * @property {number} now the server's clock, in microseconds from the trace's first instant
 * @property {string[]} id
 * @property {number[]} depth
 * @property {number[]} start microseconds from the trace's first instant
 * @property {number[]} duration nanoseconds
 * @property {number[]} name place in `names`
 * @property {number[]} kind place in `kinds`
 * @property {number[]} status place in `statuses`
 * @property {number[]} model place in `models`, or -1
 * @property {number[]} tokens
 * @property {number[]} cost billionths of a dollar
 * @property {number[]} first_token microseconds from the step's start
 * @property {number[]} flags
 * @property {string[]} names
 * @property {string[]} models
 * @property {string[]} kinds
 * @property {string[]} statuses
 */

export const ORPHAN = 1;
export const CHILD_ERROR = 2;

const WHOLE = 10000;
const NARROWEST = 60;

export class Skeleton {
  /** @param {Columns} columns */
  constructor(columns) {
    this.columns = columns;
    this.size = columns.id.length;
    this.read = performance.now();
    /** @type {Map<string, number>} */
    this.place = new Map(columns.id.map((id, row) => [id, row]));
    this.parent = new Int32Array(this.size).fill(-1);
    this.end = new Int32Array(this.size);
    this.position = new Int32Array(this.size);
    this.children = new Int32Array(this.size);
    this.roots = 0;
    this.finished = 0;
    /** @type {number[]} */
    this.running = [];
    this.#link();
  }

  #link() {
    const { depth, start, duration } = this.columns;
    /** @type {number[]} */
    const open = [];
    for (let row = 0; row < this.size; row++) {
      const level = Math.min(depth[row] ?? 0, open.length);
      while (open.length > level) this.end[open.pop() ?? 0] = row;
      const parent = open.at(-1);
      if (parent === undefined) this.position[row] = ++this.roots;
      else {
        this.parent[row] = parent;
        const nth = (this.children[parent] ?? 0) + 1;
        this.children[parent] = nth;
        this.position[row] = nth;
      }
      open.push(row);
      const length = duration[row] ?? -1;
      if (length >= 0) this.finished = Math.max(this.finished, (start[row] ?? 0) + Math.floor(length / 1000));
      else {
        this.finished = Math.max(this.finished, start[row] ?? 0);
        if (this.status(row) === "running") this.running.push(row);
      }
    }
    for (const row of open) this.end[row] = this.size;
  }

  /** The server's clock now, in microseconds from the trace's first instant. */
  get now() {
    return this.columns.now + Math.round((performance.now() - this.read) * 1000);
  }

  /** The lane's length in microseconds: to the last end, or to now while something runs. */
  get total() {
    return this.running.length ? Math.max(this.finished, this.now) : this.finished;
  }

  /** @param {number} row */
  id(row) {
    return this.columns.id[row] ?? "";
  }

  /** @param {number} row */
  name(row) {
    return this.columns.names[this.columns.name[row] ?? -1] ?? "";
  }

  /** @param {number} row */
  kind(row) {
    return this.columns.kinds[this.columns.kind[row] ?? 0] ?? "other";
  }

  /** @param {number} row */
  status(row) {
    return this.columns.statuses[this.columns.status[row] ?? 2] ?? "unset";
  }

  /** @param {number} row */
  siblings(row) {
    const parent = this.parent[row] ?? -1;
    return parent < 0 ? this.roots : (this.children[parent] ?? 0);
  }

  /** A step's length in nanoseconds; so far, when it runs; 0 when nobody knows. @param {number} row */
  took(row) {
    const length = this.columns.duration[row] ?? -1;
    if (length >= 0) return length;
    return this.status(row) === "running" ? Math.max(0, this.now - (this.columns.start[row] ?? 0)) * 1000 : 0;
  }

  /** Where a step's bar lies, in per cent as text. @param {number} row @param {number} total */
  bar(row, total) {
    const length = Math.floor(this.took(row) / 1000);
    const width = Math.min(WHOLE, Math.max(NARROWEST, total > 0 ? share(length, total) : WHOLE));
    const first = this.columns.first_token[row] ?? -1;
    const head = first < 0 ? 0 : Math.min(width, share(first, total));
    const x = Math.min(share(this.columns.start[row] ?? 0, total), WHOLE - width);
    return { x: percent(x), width: percent(width), head: head ? percent(head) : "" };
  }

  /** Everything of a row that its step's page depends on: another text means it has to be asked for again. */
  /** @param {number} row */
  mark(row) {
    const { status, duration, tokens, cost, first_token: first } = this.columns;
    const whole = this.running.length ? -1 : this.finished;
    return [status[row], duration[row], tokens[row], cost[row], first[row], whole].join();
  }

  /** The rows to be seen, from the top, when these are folded. @param {Set<string>} folded */
  seen(folded) {
    const rows = [];
    for (let row = 0; row < this.size; ) {
      rows.push(row);
      row = folded.has(this.id(row)) ? (this.end[row] ?? row + 1) : row + 1;
    }
    return rows;
  }

  /** The rows in which something went wrong of itself: causes, else all that failed. */
  get errors() {
    const failed = [];
    for (let row = 0; row < this.size; row++) if (this.status(row) === "error") failed.push(row);
    const causes = failed.filter((row) => !((this.columns.flags[row] ?? 0) & CHILD_ERROR));
    return causes.length ? causes : failed;
  }
}

/** @param {number} length @param {number} total */
function share(length, total) {
  return total > 0 ? Math.trunc((length / total) * WHOLE) : 0;
}

/** @param {number} hundredths */
function percent(hundredths) {
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}%`;
}

// A trace's rows as columns, and what follows from them: parents, folding, runs of steps alike, errors.
// Each figure is made by the same steps as in tracer/pages/tree_rows.py.

import { serverNow } from "./dom.js";

/**
 * The answer of `…/skeleton`: one entry a step in each list, in tree order; -1 for what is not known, or not yet.
 * @typedef {object} Columns
 * @property {string} trace
 * @property {number} version
 * @property {number} first the trace's first instant in microseconds since 1970
 * @property {string} ids 16 hex digits a step
 * @property {number[]} depth
 * @property {number[]} start microseconds from the trace's first instant
 * @property {number[]} duration nanoseconds
 * @property {number[]} name place in `names`
 * @property {number[]} kind place in `kinds`
 * @property {number[]} status place in `statuses`
 * @property {number[]} model place in `models`, or -1
 * @property {number[]} tokens of the step, or of the calls at and below it
 * @property {number[]} cost billionths of a dollar, likewise
 * @property {number[]} first_token microseconds from the step's start
 * @property {number[]} flags
 * @property {string[]} names
 * @property {string[]} models
 * @property {string[]} kinds
 * @property {string[]} statuses
 */

export const ORPHAN = 1;
export const CHILD_ERROR = 2;
export const NO_PRICE = 4;
export const NO_USAGE = 8;
export const SUMMED = 16;
export const REPEATED = 32;
export const LACKS_PRICE = 64;
export const LACKS_USAGE = 128;
export const MISSING = 256;

const MANY = 5; // more neighbours alike than this stand folded into one row
const ID = 16;

export class Skeleton {
  /** @param {Columns} columns */
  constructor(columns) {
    this.columns = columns;
    this.size = columns.depth.length;
    /** @type {Map<string, number>} */
    this.place = new Map();
    for (let row = 0; row < this.size; row++) this.place.set(this.id(row), row);
    this.parent = new Int32Array(this.size).fill(-1);
    this.end = new Int32Array(this.size);
    this.position = new Int32Array(this.size);
    this.children = new Int32Array(this.size);
    /** For the first of many neighbours alike: how many there are; else 0. */
    this.run = new Int32Array(this.size);
    /** For each neighbour alike: the first of them; else -1. */
    this.runOf = new Int32Array(this.size).fill(-1);
    /** For the first of many neighbours alike: the row after the last step of them all. */
    this.runEnd = new Int32Array(this.size);
    /** When the last step at or below a row ended, in microseconds from the first instant. */
    this.reach = new Float64Array(this.size);
    this.roots = 0;
    /** Rows that are steps, and not the place of one that has not arrived. */
    this.steps = 0;
    this.finished = 0;
    /** @type {number[]} */
    this.running = [];
    this.#link();
    this.#group();
  }

  #link() {
    const { depth, start, duration, status, statuses } = this.columns;
    const running = statuses.indexOf("running");
    /** @type {number[]} */
    const open = [];
    for (let row = 0; row < this.size; row++) {
      if (!(this.flags(row) & MISSING)) this.steps += 1;
      const level = Math.min(depth[row] ?? 0, open.length);
      while (open.length > level) this.#close(open, row);
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
      const end = (start[row] ?? 0) + (length >= 0 ? Math.floor(length / 1000) : 0);
      this.reach[row] = end;
      if (end > this.finished) this.finished = end;
      if (length < 0 && status[row] === running) this.running.push(row);
    }
    while (open.length) this.#close(open, this.size);
  }

  /** @param {number[]} open @param {number} end */
  #close(open, end) {
    const row = open.pop() ?? 0;
    this.end[row] = end;
    const above = open.at(-1);
    if (above !== undefined) this.reach[above] = Math.max(this.reach[above] ?? 0, this.reach[row] ?? 0);
  }

  /** Find the neighbours that have the same name and kind. */
  #group() {
    const { name, kind } = this.columns;
    const last = new Int32Array(this.size + 1).fill(-1); // of each parent, the child before
    for (let row = 0; row < this.size; row++) {
      const parent = (this.parent[row] ?? -1) + 1;
      const before = last[parent] ?? -1;
      last[parent] = row;
      const alike = before >= 0 && name[before] === name[row] && kind[before] === kind[row];
      const first = alike ? (this.runOf[before] ?? row) : row;
      this.runOf[row] = first;
      this.run[first] = (this.run[first] ?? 0) + 1;
    }
    for (let row = 0; row < this.size; row++) {
      const first = this.runOf[row] ?? row;
      if (first === row && (this.run[row] ?? 0) <= MANY) this.run[row] = 0;
      if (!this.run[first]) this.runOf[row] = -1;
      else this.runEnd[first] = this.end[row] ?? this.size;
    }
  }

  /** The server's clock now, in microseconds from the trace's first instant. */
  get now() {
    return Math.round(serverNow() * 1000) - this.columns.first;
  }

  /** The lane's length in microseconds: to the last end, or to now while something runs. */
  get total() {
    return this.running.length ? Math.max(this.finished, this.now) : this.finished;
  }

  /** @param {number} row */
  id(row) {
    return this.columns.ids.slice(row * ID, row * ID + ID);
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
  model(row) {
    return this.columns.models[this.columns.model[row] ?? -1] ?? "";
  }

  /** @param {number} row */
  status(row) {
    return this.columns.statuses[this.columns.status[row] ?? 2] ?? "unset";
  }

  /** @param {number} row */
  flags(row) {
    return this.columns.flags[row] ?? 0;
  }

  /** @param {number} row */
  failed(row) {
    return this.status(row) === "error" || (this.flags(row) & CHILD_ERROR) > 0;
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

  /** The neighbours alike that begin at a row. @param {number} first @returns {number[]} */
  members(first) {
    const rows = [];
    for (let row = first; row < this.size && this.runOf[row] === first; row = this.end[row] ?? this.size)
      rows.push(row);
    return rows;
  }

  /** Everything of a row that its step's page depends on: another text means it has to be asked for again. */
  /** @param {number} row */
  mark(row) {
    const { status, duration, tokens, cost, first_token: first } = this.columns;
    const whole = this.running.length ? -1 : this.finished;
    return [status[row], duration[row], tokens[row], cost[row], first[row], whole].join();
  }

  /**
   * The rows to be seen, from the top.
   * @param {Set<string>} folded steps whose children are hidden
   * @param {Set<string>} opened first steps of neighbours alike that stand one by one
   * @param {Uint8Array | null} [only] when given, the rows to which this holds nothing are left out
   */
  seen(folded, opened, only = null) {
    const rows = [];
    for (let row = 0; row < this.size; ) {
      if (only) {
        if (only[row]) rows.push(row);
        row += 1;
        continue;
      }
      rows.push(row);
      const id = this.run[row] || folded.size ? this.id(row) : "";
      if (this.run[row] && !opened.has(id)) row = this.runEnd[row] ?? row + 1;
      else if (folded.has(id)) row = this.end[row] ?? row + 1;
      else row += 1;
    }
    return rows;
  }

  /** The rows in which something went wrong of itself: causes, else all that failed. */
  get errors() {
    const failed = [];
    for (let row = 0; row < this.size; row++) if (this.status(row) === "error") failed.push(row);
    const causes = failed.filter((row) => !(this.flags(row) & CHILD_ERROR));
    return causes.length ? causes : failed;
  }
}

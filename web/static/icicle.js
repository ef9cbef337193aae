// The icicle: every step as wide as its share of the time, the tokens or the cost, what is below it under it.

import { address, asked, byId, make, near, say } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { KINDS } from "./rows.js";
import { REPEATED } from "./skeleton.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

const SVG = "http://www.w3.org/2000/svg";
const LEVEL = 26;
const THIN = 2; // pixels: what is narrower stands together with its neighbours
const LABELLED = 34; // and from here on it has its name
const LETTER = 7.6; // pixels of one, about
const TRAIL = 4; // steps above the zoomed one that are named
const CALM_MS = 1000;

/** @type {Record<string, {words: string, write: (value: number) => string, none: string}>} */
const SIZES = {
  time: { words: "Time", write: (micros) => duration(micros * 1000), none: "No step has taken any time yet." },
  tokens: { words: "Tokens", write: count, none: "No step of this trace said how many tokens it took." },
  cost: { words: "Cost", write: cost, none: "No step of this trace has a known cost." },
};

export class Icicle {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.panel = byId("icicle");
    this.by = asked("by") ?? "time";
    if (!SIZES[this.by]) this.by = "time";
    /** The step that is as wide as the page; null for all. */
    this.zoomed = asked("zoom");
    this.bar = make("div", "icicle-bar");
    this.host = make("div", "icicle-host");
    this.host.tabIndex = 0;
    this.host.setAttribute("role", "tree");
    this.host.setAttribute("aria-label", "Steps by their share");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("role", "presentation");
    this.host.append(this.svg);
    this.panel.replaceChildren(this.bar, this.host);
    this.seen = /** @type {number[] | null} */ (null);
    this.skeleton = /** @type {Skeleton | null} */ (null);
    this.selected = /** @type {string | null} */ (null);
    this.worked = 0;
    this.size = new Float64Array(0); // of each row seen: what it is as wide as
    this.own = new Float64Array(0); // and what it says
    this.left = new Float64Array(0);
    this.level = new Int32Array(0);
    this.above = new Int32Array(0);
    this.last = new Int32Array(0); // the place after the last one below
    this.all = 0;
    this.host.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.host);
    this.host.addEventListener("click", (event) => {
      const cell = event.target instanceof Element ? event.target.closest("svg.cell") : null;
      const first = event.target instanceof Element ? event.target.getAttribute("data-first") : null;
      if (cell) this.take(cell.id.slice(2));
      else if (first) this.take(first);
    });
    this.host.addEventListener("keydown", (event) => this.key(event));
    this.bar.addEventListener("click", (event) => {
      const by = near(event, "[data-by]");
      const to = near(event, "[data-zoom]");
      if (by) this.sizeBy(by.dataset.by ?? "time");
      else if (to) this.zoom(to.dataset.zoom || null);
    });
    document.addEventListener("icicle-by", () => {
      const names = Object.keys(SIZES);
      if (!this.panel.hidden) this.sizeBy(names[(names.indexOf(this.by) + 1) % names.length] ?? "time");
    });
    tree.addEventListener("draw", () => this.update());
    this.update();
  }

  /** @param {string} by */
  sizeBy(by) {
    this.by = by;
    address({ by: by === "time" ? null : by });
    this.seen = null;
    this.update();
    say(`Steps are as wide as their share of the ${SIZES[by]?.words.toLowerCase()}`);
  }

  /** Choose a step, and make it as wide as the page when it is chosen already. @param {string} id */
  take(id) {
    const chosen = id === this.tree.selected;
    this.tree.choose(id);
    if (chosen) this.zoom(this.zoomed === id ? this.outOf(id) : id);
  }

  /** The step around one. @param {string} id @returns {string | null} */
  outOf(id) {
    const tree = this.skeleton;
    const above = tree?.parent[tree.place.get(id) ?? -1] ?? -1;
    return tree && above >= 0 ? tree.id(above) : null;
  }

  /** @param {string | null} id */
  zoom(id) {
    this.zoomed = id;
    address({ zoom: id });
    this.host.scrollTop = 0;
    this.update(true);
    const row = this.skeleton?.place.get(id ?? "");
    say(row === undefined ? "The whole trace is shown" : `Zoomed to ${this.skeleton?.name(row)}`);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Enter" && this.tree.selected) this.take(this.tree.selected);
    else if ((event.key === "Escape" || event.key === "Backspace") && this.zoomed) this.zoom(this.outOf(this.zoomed));
    else {
      this.tree.key(event);
      return;
    }
    event.preventDefault();
  }

  /** Follow the tree: other rows, a newer state, another chosen step. @param {boolean} [zoomed] */
  update(zoomed = false) {
    const tree = this.tree.skeleton;
    if (!tree || this.panel.hidden) return;
    const grows = tree.running.length > 0 && performance.now() - this.worked > CALM_MS;
    const changed = this.seen !== this.tree.seen || this.skeleton !== tree || grows;
    if (changed) this.work(tree);
    const moved = this.selected !== this.tree.selected;
    if (!changed && !moved && !zoomed) return;
    this.selected = this.tree.selected;
    const at = this.seen?.indexOf(tree.place.get(this.selected ?? "") ?? -1) ?? -1;
    if (moved && at >= 0 && !zoomed) this.bring(at);
    this.draw();
  }

  /** Bring the chosen step into what is seen: out of the zoom if it lies beside it, and into view. @param {number} at */
  bring(at) {
    const tree = this.skeleton;
    let zoom = this.zoomAt();
    while (tree && zoom >= 0 && !(at >= zoom && at < (this.last[zoom] ?? 0))) {
      zoom = this.above[zoom] ?? -1;
      this.zoomed = zoom >= 0 ? tree.id(this.seen?.[zoom] ?? 0) : null;
      address({ zoom: this.zoomed });
    }
    const top = ((this.level[at] ?? 0) - (zoom >= 0 ? (this.level[zoom] ?? 0) : 0)) * LEVEL;
    if (top < this.host.scrollTop) this.host.scrollTop = top;
    else if (top + LEVEL > this.host.scrollTop + this.host.clientHeight)
      this.host.scrollTop = top + LEVEL - this.host.clientHeight;
  }

  /** The place of the zoomed step among the rows seen, or -1. */
  zoomAt() {
    const row = this.zoomed ? this.skeleton?.place.get(this.zoomed) : undefined;
    return row === undefined ? -1 : (this.seen?.indexOf(row) ?? -1);
  }

  /** Work out how wide everything is. @param {Skeleton} tree */
  work(tree) {
    const seen = this.tree.seen;
    const size = seen.length;
    this.seen = seen;
    this.skeleton = tree;
    this.worked = performance.now();
    this.size = new Float64Array(size);
    this.own = new Float64Array(size);
    this.left = new Float64Array(size);
    this.level = new Int32Array(size);
    this.above = new Int32Array(size).fill(-1);
    this.last = new Int32Array(size);
    /** @type {number[]} */
    const open = [];
    for (let at = 0; at < size; at++) {
      const row = seen[at] ?? 0;
      while (open.length && row >= (tree.end[seen[open.at(-1) ?? 0] ?? 0] ?? 0)) this.last[open.pop() ?? 0] = at;
      this.above[at] = open.at(-1) ?? -1;
      this.level[at] = open.length;
      open.push(at);
      let own = 0;
      if (this.tree.closed(row)) for (const member of tree.members(row)) own += this.value(tree, member);
      else own = this.value(tree, row);
      this.own[at] = own;
      if (this.tree.closed(row)) this.last[open.pop() ?? 0] = at + 1;
    }
    for (const at of open) this.last[at] = size;
    this.all = 0;
    const below = new Float64Array(size);
    for (let at = size - 1; at >= 0; at--) {
      const wide = Math.max(this.own[at] ?? 0, below[at] ?? 0);
      this.size[at] = wide;
      const above = this.above[at] ?? -1;
      if (above >= 0) below[above] = (below[above] ?? 0) + wide;
      else this.all += wide;
    }
    const next = new Float64Array(size + 1); // of each row, and of all at the end: where its next child begins
    for (let at = 0; at < size; at++) {
      const above = this.above[at] ?? -1;
      const slot = above >= 0 ? above : size;
      const left = next[slot] ?? 0;
      this.left[at] = left;
      next[at] = left;
      next[slot] = left + (this.size[at] ?? 0);
    }
  }

  /** @param {Skeleton} tree @param {number} row */
  value(tree, row) {
    if (this.by === "time") return tree.took(row) / 1000;
    if (tree.flags(row) & REPEATED) return 0;
    return Math.max(0, tree.columns[this.by === "tokens" ? "tokens" : "cost"][row] ?? 0);
  }

  draw() {
    const tree = this.skeleton;
    if (!tree || !this.seen || this.panel.hidden) return;
    const zoom = this.zoomAt();
    const all = zoom >= 0 ? (this.size[zoom] ?? 0) : this.all;
    const origin = zoom >= 0 ? (this.left[zoom] ?? 0) : 0;
    const [from, to] = zoom >= 0 ? [zoom, this.last[zoom] ?? 0] : [0, this.seen.length];
    const base = zoom >= 0 ? (this.level[zoom] ?? 0) : 0;
    const wide = Math.max(1, this.host.clientWidth);
    const top = Math.floor(this.host.scrollTop / LEVEL) - 2;
    const bottom = top + Math.ceil(this.host.clientHeight / LEVEL) + 4;
    this.drawBar(tree, zoom);
    /** @type {SVGElement[]} */
    const cells = [];
    /** Of each level: where what is too thin began, where it ended, and how many. @type {Map<number, number[]>} */
    const thin = new Map();
    const flush = (/** @type {number} */ level) => {
      const [left = 0, right = 0, many = 0, first = 0] = thin.get(level) ?? [];
      if (many) cells.push(this.dust(left / wide, right / wide, level, many, tree.id(first)));
      thin.delete(level);
    };
    let deepest = 0;
    for (let at = from; at < to && all > 0; ) {
      const width = ((this.size[at] ?? 0) / all) * wide;
      const level = (this.level[at] ?? 0) - base;
      const left = (((this.left[at] ?? 0) - origin) / all) * wide;
      const shown = level >= top && level <= bottom;
      if (width > 0) deepest = Math.max(deepest, level);
      if (width < THIN) {
        if (shown && width > 0) {
          const known = thin.get(level);
          if (known && left - (known[1] ?? 0) < 1) {
            known[1] = left + width;
            known[2] = (known[2] ?? 0) + 1;
          } else {
            flush(level);
            thin.set(level, [left, left + width, 1, this.seen[at] ?? 0]);
          }
        }
        at = this.last[at] ?? at + 1;
        continue;
      }
      if (shown) cells.push(this.cell(tree, at, left / wide, width, wide, level, all));
      at += 1;
    }
    for (const level of [...thin.keys()]) flush(level);
    this.svg.replaceChildren(...cells);
    this.svg.setAttribute("height", String((deepest + 1) * LEVEL));
    this.host.querySelector(".hint")?.remove();
    if (all <= 0) this.host.append(make("p", "hint", SIZES[this.by]?.none ?? ""));
    const active = this.selected ? document.getElementById(`i-${this.selected}`) : null;
    if (active) this.host.setAttribute("aria-activedescendant", active.id);
    else this.host.removeAttribute("aria-activedescendant");
  }

  /**
   * @param {Skeleton} tree
   * @param {number} at
   * @param {number} left from 0 to 1
   * @param {number} width pixels
   * @param {number} wide pixels of the whole
   * @param {number} level
   * @param {number} all
   */
  cell(tree, at, left, width, wide, level, all) {
    const row = this.seen?.[at] ?? 0;
    const id = tree.id(row);
    const many = this.tree.closed(row);
    const failed = tree.failed(row);
    const own = tree.status(row) === "error" && !(tree.flags(row) & 2);
    const cell = piece("svg", {
      class: `cell b-${own ? "bad" : tree.kind(row)}${failed ? " failed" : ""}${this.tree.found?.[row] === 1 ? " way" : ""}`,
      id: `i-${id}`,
      role: "treeitem",
      "aria-level": String((this.level[at] ?? 0) + 1),
      "aria-selected": String(id === this.selected),
      x: `${left * 100}%`,
      y: String(level * LEVEL),
      width: `${(width / wide) * 100}%`,
      height: String(LEVEL),
    });
    const folded = many || this.tree.folded.has(id);
    if (tree.children[row] || many) cell.setAttribute("aria-expanded", String(!folded));
    const share = Math.round(((this.own[at] ?? 0) / all) * 100);
    const figure = SIZES[this.by]?.write(Math.round(this.own[at] ?? 0)) ?? "";
    const words = KINDS[tree.kind(row)]?.[1] ?? "other step";
    const times = many ? ` ×${count(tree.run[row] ?? 0)}` : "";
    const told = `${tree.name(row)}${times}, ${words}, ${figure}, ${share} % of what is shown${failed ? ", failed" : ""}`;
    cell.setAttribute("aria-label", told);
    const title = document.createElementNS(SVG, "title");
    title.textContent = told;
    cell.append(title, piece("rect", { width: "100%", height: String(LEVEL - 1) }));
    if (width >= LABELLED) {
      const name = `${folded ? "▸ " : ""}${own ? "✕ " : failed ? "▲ " : ""}${tree.name(row)}${times}`;
      const text = piece("text", { x: "6", y: "17" });
      const room = Math.floor((width - 10) / LETTER);
      text.textContent = name.length > room ? `${name.slice(0, Math.max(1, room - 1))}…` : name;
      cell.append(text);
      if (room > name.length + figure.length + 2) {
        const told = piece("text", { x: "100%", dx: "-6", y: "17", class: "figure" });
        told.textContent = figure;
        cell.append(told);
      }
    }
    return cell;
  }

  /**
   * What is too thin to be drawn one by one; a click chooses the first of it.
   * @param {number} left
   * @param {number} right
   * @param {number} level
   * @param {number} many
   * @param {string} first
   */
  dust(left, right, level, many, first) {
    const rect = piece("rect", {
      class: "dust",
      "data-first": first,
      x: `${left * 100}%`,
      y: String(level * LEVEL),
      width: `${Math.max(0.1, (right - left) * 100)}%`,
      height: String(LEVEL - 1),
    });
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${count(many)} ${many === 1 ? "step" : "steps"} too thin to draw: zoom in to see them`;
    rect.append(title);
    return rect;
  }

  /** What the widths are, and where one is. @param {Skeleton} tree @param {number} zoom */
  drawBar(tree, zoom) {
    const state = [this.by, zoom, this.skeleton?.columns.version].join();
    if (this.bar.dataset.state === state) return;
    this.bar.dataset.state = state;
    const sizes = make("span", "views");
    sizes.setAttribute("role", "group");
    sizes.setAttribute("aria-label", "What the widths are");
    for (const [by, { words }] of Object.entries(SIZES)) {
      const button = make("button", "", words);
      button.dataset.by = by;
      button.setAttribute("aria-pressed", String(by === this.by));
      sizes.append(button);
    }
    /** @type {HTMLElement[]} */
    const trail = [];
    let at = zoom;
    for (; at >= 0 && trail.length < TRAIL * 2; at = this.above[at] ?? -1) {
      const row = this.seen?.[at] ?? 0;
      const step = make("button", at === zoom ? "here" : "");
      step.dataset.zoom = tree.id(row);
      step.append(make("bdi", "", tree.name(row)));
      trail.unshift(make("span", "faint", "›"), step);
    }
    if (at >= 0) trail.unshift(make("span", "faint", "› …"));
    const whole = make("button", zoom < 0 ? "here" : "", "Whole trace");
    whole.dataset.zoom = "";
    const path = make("span", "trail");
    path.append(whole, ...trail);
    const hint = make("span", "faint", "click twice, or Enter, to zoom; Escape to go out");
    this.bar.replaceChildren(sizes, path, hint);
  }
}

/** @param {string} tag @param {Record<string, string>} attributes */
function piece(tag, attributes) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

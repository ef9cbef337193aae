// The run from the top to the bottom as a conversation: each step's texts, fetched as they come into view.

import { asked, byId, make, near } from "./dom.js";
import { count, duration } from "./format.js";
import { KINDS } from "./rows.js";
import { CHILD_ERROR, MISSING } from "./skeleton.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

/**
 * One place of the transcript: a step, or the end of one that has others below it.
 * @typedef {object} Turn
 * @property {number} row
 * @property {string} part what is read of it: `b`oth sides, its `i`nput, its `o`utput, or nothing
 * @property {boolean} ends
 * @property {string} key
 */

const BEYOND = 500; // pixels drawn above and below what is seen
const AT_ONCE = 8; // steps whose texts one request brings
const KEPT = 400; // texts that are kept
const HEAD = 37; // a turn's height before its texts are there
const GUESS = 110;
const TALL = 420; // what is higher is folded

export class Transcript {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.host = byId("transcript");
    this.list = make("div", "turns");
    this.list.setAttribute("role", "feed");
    this.list.setAttribute("aria-label", "What each step was given and gave back");
    this.host.replaceChildren(this.list);
    this.seen = /** @type {number[] | null} */ (null);
    this.skeleton = /** @type {Skeleton | null} */ (null);
    /** @type {Turn[]} */
    this.turns = [];
    /** @type {Map<string, number>} */
    this.heights = new Map();
    this.tops = new Float64Array(1);
    /** @type {Map<string, HTMLElement>} */
    this.drawn = new Map();
    /** Texts by key, and the state of the step that they are of. @type {Map<string, {html: Node, mark: string}>} */
    this.texts = new Map();
    /** @type {Set<string>} */
    this.open = new Set();
    this.selected = /** @type {string | null} */ (null);
    this.anchor = { key: "", at: 0, offset: 0 };
    this.asking = false;
    this.failed = false;
    this.own = false;
    this.sizes = new ResizeObserver(() => this.measure());
    this.host.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.host);
    this.host.addEventListener("click", (event) => this.click(event));
    this.host.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Page")) tree.key(event);
    });
    byId("map").addEventListener("click", (event) => this.jump(event));
    tree.addEventListener("draw", () => this.update());
    this.update();
  }

  /** Follow the tree: other rows, a newer state, another chosen step. */
  update() {
    const tree = this.tree.skeleton;
    byId("at").hidden = this.host.hidden;
    if (!tree || this.host.hidden) return;
    const changed = this.seen !== this.tree.seen || this.skeleton !== tree;
    if (changed) this.arrange(tree);
    if (this.selected !== this.tree.selected) {
      const first = this.selected === null;
      this.selected = this.tree.selected;
      if (!this.own && (!first || asked("span"))) this.reveal(first);
      this.draw();
    } else if (changed) this.draw();
  }

  /** Work out the turns: steps in their order, and where those end that hold others. @param {Skeleton} tree */
  arrange(tree) {
    this.seen = this.tree.seen;
    this.skeleton = tree;
    /** @type {Turn[]} */
    const turns = [];
    /** @type {{row: number, end: number}[]} */
    const open = [];
    const close = (/** @type {number} */ before) => {
      for (let last = open.at(-1); last && last.end <= before; last = open.at(-1)) {
        turns.push({ row: last.row, part: "o", ends: true, key: `${tree.id(last.row)}o` });
        open.pop();
      }
    };
    for (let at = 0; at < this.seen.length; at++) {
      const row = this.seen[at] ?? 0;
      close(row);
      const many = this.tree.closed(row);
      const next = this.seen[at + 1] ?? tree.size;
      const holds = !many && next > row && next < (tree.end[row] ?? row + 1);
      const there = !(tree.flags(row) & MISSING);
      const speaks = there && (!holds || tree.kind(row) === "agent" || (tree.columns.depth[row] ?? 0) === 0);
      const part = many || !speaks ? "" : holds ? "i" : "b";
      turns.push({ row, part, ends: false, key: `${tree.id(row)}${part || "-"}` });
      if (holds && speaks) open.push({ row, end: tree.end[row] ?? row + 1 });
    }
    close(tree.size);
    this.turns = turns;
    this.stack();
    const at = turns.findIndex((turn) => turn.key === this.anchor.key);
    if (at >= 0) this.anchor.at = at;
    this.hold();
  }

  /** @param {Turn} turn */
  height(turn) {
    return this.heights.get(turn.key) ?? (turn.part ? GUESS : HEAD);
  }

  /** Where each turn begins. */
  stack() {
    this.tops = new Float64Array(this.turns.length + 1);
    this.turns.forEach((turn, at) => {
      this.tops[at + 1] = (this.tops[at] ?? 0) + this.height(turn);
    });
  }

  /** The turn at a height. @param {number} top */
  at(top) {
    let [low, high] = [0, Math.max(0, this.turns.length - 1)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.tops[middle] ?? 0) <= top) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  scrolled() {
    const top = this.host.scrollTop;
    const at = this.at(top);
    this.anchor = { key: this.turns[at]?.key ?? "", at, offset: top - (this.tops[at] ?? 0) };
    this.draw();
  }

  /** Keep what the reader sees where it is. */
  hold() {
    const top = (this.tops[this.anchor.at] ?? 0) + this.anchor.offset;
    this.room();
    if (Math.abs(this.host.scrollTop - top) > 1) this.host.scrollTop = top;
  }

  room() {
    this.list.style.height = `${this.tops[this.turns.length] ?? 0}px`;
  }

  draw() {
    const tree = this.skeleton;
    if (!tree || this.host.hidden) return;
    const top = this.host.scrollTop;
    const first = this.at(top - BEYOND);
    const last = Math.min(this.turns.length, this.at(top + this.host.clientHeight + BEYOND) + 1);
    const wanted = this.turns.slice(first, last);
    const keys = new Set(wanted.map((turn) => turn.key));
    for (const [key, element] of this.drawn) {
      if (keys.has(key)) continue;
      this.sizes.unobserve(element);
      element.remove();
      this.drawn.delete(key);
    }
    /** @type {Element | null} */
    let before = null;
    wanted.forEach((turn, place) => {
      let element = this.drawn.get(turn.key);
      if (!element) {
        element = make("article", "turned");
        this.drawn.set(turn.key, element);
        this.sizes.observe(element);
      }
      const follows = before ? before.nextElementSibling : this.list.firstElementChild;
      if (follows !== element) this.list.insertBefore(element, follows);
      element.style.top = `${this.tops[first + place] ?? 0}px`;
      this.fill(element, turn, tree, first + place);
      before = element;
    });
    this.room();
    this.mark(top);
    this.tree.dispatchEvent(new Event("read"));
    void this.ask();
  }

  /** Show on the map of time where the reader is. @param {number} top */
  mark(top) {
    const tree = this.skeleton;
    const turn = this.turns[this.at(top + 4)];
    if (!tree || !turn) return;
    const start = tree.columns.start[turn.row] ?? 0;
    const instant = turn.ends ? start + Math.floor(tree.took(turn.row) / 1000) : start;
    byId("at").style.left = `${Math.min(100, (instant / Math.max(1, tree.total)) * 100)}%`;
  }

  /** @param {HTMLElement} element @param {Turn} turn @param {Skeleton} tree @param {number} at */
  fill(element, turn, tree, at) {
    const { row } = turn;
    const id = tree.id(row);
    const depth = Math.min(6, tree.columns.depth[row] ?? 0);
    const text = this.texts.get(turn.key);
    const state = [tree.mark(row), id === this.selected, this.tree.folded.has(id), text?.mark, this.open.has(turn.key), this.failed].join(); // biome-ignore format: one line
    element.setAttribute("aria-posinset", String(at + 1));
    element.setAttribute("aria-setsize", String(this.turns.length));
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    element.dataset.key = turn.key;
    element.className = `turned t${depth}${turn.ends ? " ends" : ""}${this.open.has(turn.key) ? " open" : ""}`;
    element.setAttribute("aria-label", `${turn.ends ? "End of " : ""}${tree.name(row)}`);
    if (id === this.selected && !turn.ends) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
    const body = make("div", "turn-body");
    if (text) body.append(text.html.cloneNode(true));
    else if (turn.part) body.append(make("p", this.failed ? "faint" : "bone", this.failed ? "not fetched" : ""));
    if (text && !body.textContent?.trim() && !body.querySelector("img"))
      body.replaceChildren(make("p", "faint", turn.ends ? "ended without output" : "no text"));
    element.replaceChildren(this.head(turn, tree), ...(turn.part ? [body] : []));
    if (text && body.scrollHeight > TALL + 60) {
      const more = make("button", "link more", this.open.has(turn.key) ? "Show less" : "Show more");
      element.append(more);
      element.classList.add("long");
    }
  }

  /** @param {Turn} turn @param {Skeleton} tree */
  head({ row, ends }, tree) {
    const id = tree.id(row);
    const kind = tree.kind(row);
    const [letter, words] = KINDS[kind] ?? ["O", "other step"];
    const badge = make("abbr", `k k-${kind}`, letter);
    badge.title = words;
    const head = make("header", "turn-head");
    const link = document.createElement("a");
    link.className = "turn-name";
    link.href = `?span=${id}&view=transcript`;
    link.append(make("bdi", "", tree.name(row)));
    if (ends) {
      head.append(make("span", "faint", "end of"), badge, link);
      return head;
    }
    const many = this.tree.closed(row);
    if (many || tree.children[row]) {
      const folded = many || this.tree.folded.has(id);
      const fold = make("button", "folds", folded ? "▸" : "▾");
      fold.setAttribute("aria-expanded", String(!folded));
      fold.setAttribute("aria-label", `${folded ? "Unfold" : "Fold"} ${tree.name(row)}`);
      head.append(fold);
    }
    head.append(badge, link);
    if (many) head.append(make("span", "times", `×${count(tree.run[row] ?? 0)}`));
    else if (this.tree.folded.has(id)) {
      const inside = (tree.end[row] ?? row + 1) - row - 1;
      head.append(make("span", "times", `${count(inside)} ${inside === 1 ? "step" : "steps"} inside`));
    }
    const below = (tree.flags(row) & CHILD_ERROR) > 0;
    if (tree.status(row) === "error" && !below) head.append(make("span", "own", "✕"));
    else if (below) head.append(make("span", "below", "▲"));
    if (tree.model(row)) head.append(make("span", "model", tree.model(row)));
    head.append(make("span", "took", many || tree.flags(row) & MISSING ? "" : duration(tree.took(row))));
    return head;
  }

  /** Take note of how high things came out, without moving what is seen. */
  measure() {
    let changed = false;
    for (const [key, element] of this.drawn) {
      const height = element.offsetHeight;
      if (height && this.heights.get(key) !== height) {
        this.heights.set(key, height);
        changed = true;
      }
    }
    if (!changed) return;
    this.stack();
    this.hold();
    this.draw();
  }

  /** Fetch the texts of what is drawn, a few steps at a time. */
  async ask() {
    const tree = this.skeleton;
    if (this.asking || !tree) return;
    const [top, height] = [this.host.scrollTop, this.host.clientHeight];
    const first = this.at(top);
    const lacking = (/** @type {Turn[]} */ turns) =>
      turns.filter(({ part, key, row }) => part && this.drawn.has(key) && this.texts.get(key)?.mark !== tree.mark(row));
    // What is seen comes first, then what lies below it and above it.
    const wanted = lacking([
      ...this.turns.slice(first, this.at(top + height + BEYOND) + 1),
      ...this.turns.slice(this.at(top - BEYOND), first),
    ]).slice(0, AT_ONCE);
    if (!wanted.length) return;
    this.asking = true;
    const marks = new Map(wanted.map((turn) => [turn.key, tree.mark(turn.row)]));
    try {
      const answer = await fetch(`${this.host.dataset.turns}?turns=${wanted.map((turn) => turn.key).join()}`);
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const html of page.querySelectorAll("[data-key]")) {
        const key = html.getAttribute("data-key") ?? "";
        this.texts.delete(key);
        this.texts.set(key, { html: document.importNode(html, true), mark: marks.get(key) ?? "" });
      }
      for (const key of this.texts.keys()) {
        if (this.texts.size <= KEPT) break;
        if (!this.drawn.has(key)) this.texts.delete(key);
      }
      this.failed = false;
      this.asking = false;
      this.draw();
    } catch {
      this.failed = true;
      setTimeout(() => {
        this.asking = false;
        this.draw();
      }, 3_000);
    }
  }

  /** Bring the chosen step into view. @param {boolean} top to the top, even if it is in view */
  reveal(top = false) {
    const row = this.skeleton?.place.get(this.selected ?? "");
    const at = this.turns.findIndex((turn) => turn.row === row && !turn.ends);
    if (at < 0) return;
    const [from, to] = [this.tops[at] ?? 0, this.tops[at + 1] ?? 0];
    const scroll = this.host.scrollTop;
    if (!top && from >= scroll && Math.min(to, from + 120) <= scroll + this.host.clientHeight) return;
    this.anchor = { key: this.turns[at]?.key ?? "", at, offset: -8 };
    this.hold();
  }

  /** @param {MouseEvent} event */
  click(event) {
    const turn = near(event, ".turned");
    if (!turn || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const key = turn.dataset.key ?? "";
    const id = key.slice(0, 16);
    if (near(event, ".more")) {
      if (!this.open.delete(key)) this.open.add(key);
      this.draw();
    } else if (near(event, ".folds, .times")) this.tree.fold(id);
    else if (near(event, ".turn-head")) {
      event.preventDefault();
      this.own = true;
      this.tree.choose(id);
      this.own = false;
    }
  }

  /** Go to what happened at a place of the map. @param {MouseEvent} event */
  jump(event) {
    const tree = this.skeleton;
    if (!tree || this.host.hidden || this.tree.window) return;
    const box = byId("map").getBoundingClientRect();
    const instant = ((event.clientX - box.left) / Math.max(1, box.width)) * tree.total;
    let at = this.turns.findIndex(({ row, ends }) => !ends && (tree.columns.start[row] ?? 0) >= instant);
    if (at < 0) at = this.turns.length - 1;
    this.anchor = { key: this.turns[at]?.key ?? "", at, offset: 0 };
    this.hold();
  }
}

// The tree of a trace's steps: rows drawn only where they are seen, one chosen step, folds, keys, and live growth.

import { address, asked, byId, htmx, near, say } from "./dom.js";
import { count, duration } from "./format.js";
import { Lane } from "./lane.js";
import { Row } from "./rows.js";
import { Skeleton } from "./skeleton.js";
import { StepPane } from "./step.js";

const ROW = 28;
const HEADER = 26;
const BEYOND = 12; // rows drawn above and below what is seen
const CALM_MS = 250; // least time between two reads of the skeleton
const MOST_REST_MS = 5000; // and most, also when a read took for ever or the machine slept meanwhile
const MOVES = new Set("ArrowDown ArrowUp ArrowLeft ArrowRight PageDown PageUp Home End Enter".split(" "));
const RECHECK_MS = 30_000; // a running trace is read again this often even when nothing is heard of it

/**
 * Says `take` when the trace has a newer state, `choose` when another step is chosen, `draw` when rows were drawn.
 */
export class Tree extends EventTarget {
  constructor() {
    super();
    this.host = byId("tree");
    this.scroller = byId("scroll");
    this.columns = byId("cols");
    this.pane = new StepPane(byId("step"), (id) => this.choose(id, { scroll: true }));
    this.skeleton = /** @type {Skeleton | null} */ (null);
    this.selected = /** @type {string | null} */ (this.host.dataset.chosen ?? null);
    /** @type {Set<string>} */
    this.folded = new Set();
    /** First steps of neighbours alike that stand one by one. @type {Set<string>} */
    this.opened = new Set();
    /** Rows that match a search (2) or have a match below (1). @type {Uint8Array | null} */
    this.found = null;
    /** What of the time is seen; null for all. @type {import("./lane.js").Span | null} */
    this.window = null;
    /** Idle stretches that are pressed together. @type {import("./lane.js").Span[]} */
    this.gaps = [];
    /** @type {import("./path.js").Path | null} */
    this.critical = null;
    this.lane = new Lane(0);
    /** @type {number[]} */
    this.seen = [];
    /** @type {Map<string, Row>} */
    this.drawn = new Map();
    /** What was asked for before the skeleton was there. @type {(() => void)[]} */
    this.queued = [];
    this.pressed = /** @type {HTMLElement | null} */ (null);
    this.reading = false;
    this.again = false;
    this.forced = false;
    this.wait = CALM_MS;
    this.mark = "";
    this.pane.shown = this.selected;
  }

  start() {
    this.host.addEventListener("pointerdown", (event) => {
      this.pressed = near(event, ".row");
    });
    this.host.addEventListener("pointerup", (event) => {
      // A row that was drawn anew between press and release gets no click from the browser.
      const row = near(event, ".row");
      if (row && event.button === 0 && row !== this.pressed && row.id === this.pressed?.id) this.click(event);
    });
    this.host.addEventListener("click", (event) => this.click(event));
    this.host.addEventListener("dblclick", (event) => {
      const row = near(event, ".row");
      if (row && !near(event, ".fold")) this.fold(row.id.slice(2));
    });
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.scroller);
    addEventListener("popstate", () => {
      const span = asked("span");
      if (span) this.choose(span, { scroll: true });
    });
    const live = byId("live");
    live.addEventListener("ready", () => void this.read());
    live.addEventListener("traces", () => void this.read());
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    setInterval(
      () => {
        if (!document.hidden && this.skeleton?.running.length) this.draw();
      },
      calm ? 1000 : CALM_MS,
    );
    setInterval(() => {
      if (!document.hidden && this.skeleton?.running.length) void this.read({ force: true });
    }, RECHECK_MS);
    const whole = this.host.dataset.whole;
    if (whole) {
      delete this.host.dataset.whole;
      this.take(new Skeleton(JSON.parse(whole)));
    } else void this.read({ first: true });
  }

  /**
   * Read the skeleton, unless it is as it was; once more afterwards when asked meanwhile.
   * @param {{first?: boolean, force?: boolean}} [how]
   */
  async read({ first = false, force = false } = {}) {
    if (this.reading) {
      this.again = true;
      this.forced ||= force;
      return;
    }
    this.reading = true;
    const began = performance.now();
    try {
      const version = this.skeleton && !force ? `?unless=${this.skeleton.columns.version}` : "";
      const answer = await fetch(`${this.host.dataset.skeleton}${version}`);
      if (answer.status === 200) {
        this.take(new Skeleton(await answer.json()));
        if (!first) this.readHead();
      } else if (answer.status === 404) {
        this.readHead(); // the trace was deleted: the answer says so at the top, and what was read stays to be seen
      }
    } catch {
      // The server is away: the stream says so at the top, and reads again when it is back.
    } finally {
      // A long read of a large trace is followed by a longer rest, so that a busy trace never fills the page's time.
      this.wait = Math.min(MOST_REST_MS, Math.max(CALM_MS, (performance.now() - began) * 3));
      setTimeout(() => {
        this.reading = false;
        if (!this.again) return;
        this.again = false;
        const forced = this.forced;
        this.forced = false;
        void this.read({ force: forced });
      }, this.wait);
    }
  }

  readHead() {
    const head = byId("head");
    void htmx.ajax("GET", head.dataset.here ?? "", { source: head, target: head, swap: "outerMorph" });
  }

  /** Show a newer state of the trace, holding on to what the reader sees. @param {Skeleton} skeleton */
  take(skeleton) {
    const first = this.skeleton === null;
    const anchor = this.anchor();
    const before = this.skeleton;
    this.skeleton = skeleton;
    document.getElementById("rest")?.remove();
    this.keepOpen(before);
    byId("count").textContent = `${count(skeleton.steps)} ${skeleton.steps === 1 ? "step" : "steps"}`;
    this.dispatchEvent(new Event("take"));
    this.arrange();
    if (anchor) {
      const at = this.seen.indexOf(skeleton.place.get(anchor.id) ?? -1);
      if (at >= 0) this.scroller.scrollTop = at * ROW + anchor.offset;
    }
    if (first) this.host.replaceChildren();
    this.draw();
    if (first) {
      this.reveal(true);
      performance.mark("stepscope-usable");
    }
    this.checkStep();
    for (const act of this.queued.splice(0)) act();
  }

  /** Open the runs of steps alike that hold the chosen step, and those that came to be while they were looked at. */
  /** @param {Skeleton | null} before */
  keepOpen(before) {
    const tree = this.skeleton;
    if (!tree) return;
    if (before) {
      for (let row = 0; row < tree.size; row++) {
        const id = tree.run[row] ? tree.id(row) : "";
        const was = id ? before.place.get(id) : undefined;
        if (was !== undefined && !before.run[was]) this.opened.add(id);
      }
    }
    const chosen = tree.place.get(this.selected ?? "");
    if (chosen !== undefined) this.openAround(chosen);
  }

  /** Unfold whatever hides a row. @param {number} row @returns {boolean} whether anything did */
  openAround(row) {
    const tree = this.skeleton;
    if (!tree) return false;
    let changed = false;
    let at = row;
    while (at >= 0) {
      const first = tree.runOf[at] ?? -1;
      if (first >= 0 && row !== first && !this.opened.has(tree.id(first))) {
        this.opened.add(tree.id(first));
        changed = true;
      }
      at = tree.parent[at] ?? -1;
      if (at >= 0) changed = this.folded.delete(tree.id(at)) || changed;
    }
    return changed;
  }

  /** The first row seen and how far it is cut, unless the reader is at the very top. */
  anchor() {
    const top = this.scroller.scrollTop;
    if (!this.skeleton || top === 0) return null;
    const row = this.seen[Math.floor(top / ROW)];
    return row === undefined ? null : { id: this.skeleton.id(row), offset: top % ROW };
  }

  /** Work out anew what is to be seen, and draw it. */
  show() {
    this.arrange();
    this.draw();
  }

  /** Work out which rows there are to see. */
  arrange() {
    this.seen = this.skeleton ? this.skeleton.seen(this.folded, this.opened, this.found) : [];
  }

  /** Draw the rows in view; the room of the others is kept by padding. */
  draw() {
    const tree = this.skeleton;
    if (!tree) return;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.seen.length, first + Math.ceil(this.scroller.clientHeight / ROW) + 2 * BEYOND);
    const total = tree.total;
    const lane = new Lane(total, this.window, this.gaps);
    this.lane = lane;
    const { folded, opened, selected, found, critical } = this;
    const view = { folded, opened, selected, lane, total, found, critical };
    /** @type {Map<string, Row>} */
    const kept = new Map();
    /** @type {Row[]} */
    const spare = [];
    const wanted = this.seen.slice(first, last);
    const ids = new Set(wanted.map((row) => tree.id(row)));
    for (const [id, row] of this.drawn) {
      if (ids.has(id)) kept.set(id, row);
      else spare.push(row);
    }
    let before = /** @type {ChildNode | null} */ (this.host.firstChild);
    for (const number of wanted) {
      const id = tree.id(number);
      const row = kept.get(id) ?? spare.pop() ?? new Row();
      kept.set(id, row);
      row.draw(tree, number, view);
      if (row.element === before) before = before.nextSibling;
      else this.host.insertBefore(row.element, before);
    }
    for (const row of spare) row.element.remove();
    this.drawn = kept;
    this.host.style.paddingTop = `${first * ROW}px`;
    this.host.style.paddingBottom = `${(this.seen.length - last) * ROW}px`;
    if (this.selected && kept.has(this.selected)) this.host.setAttribute("aria-activedescendant", `s-${this.selected}`);
    else this.host.removeAttribute("aria-activedescendant");
    this.drawTicks(lane);
    this.dispatchEvent(new Event("draw"));
  }

  /** @param {Lane} lane */
  drawTicks(lane) {
    this.columns.querySelectorAll(".ticks span").forEach((tick, quarter) => {
      const at = lane.instant(quarter / 4);
      const words = at > 0 ? duration(Math.floor(at * 1000)) : "0";
      if (tick.textContent !== words) tick.textContent = words;
    });
  }

  /**
   * Choose a step: mark its row at once, put it in the address, and fetch it.
   * @param {string} id
   * @param {{scroll?: boolean}} [how]
   */
  choose(id, { scroll = false } = {}) {
    const tree = this.skeleton;
    const row = tree?.place.get(id);
    if (!tree || row === undefined) return;
    this.selected = id;
    // A link of another row gives the focus to the tree, whose ring is around the chosen row.
    const focused = document.activeElement;
    if (focused !== this.host && this.host.contains(focused) && focused?.closest(".row")?.id !== `s-${id}`)
      this.host.focus({ preventScroll: true });
    if (this.openAround(row)) this.arrange();
    if (scroll) this.reveal();
    this.draw();
    address({ span: id });
    byId("error-at").textContent = "";
    this.mark = tree.mark(row);
    this.pane.open(id, `${this.host.dataset.steps}${id}`, tree, row);
    this.dispatchEvent(new Event("choose"));
  }

  /** Scroll just so far that the chosen row is seen. @param {boolean} [middle] to the middle, if it isn't */
  reveal(middle = false) {
    const row = this.skeleton?.place.get(this.selected ?? "");
    const at = row === undefined ? -1 : this.seen.indexOf(row);
    if (at < 0) return;
    const top = at * ROW;
    const height = this.scroller.clientHeight - HEADER;
    const hidden = top < this.scroller.scrollTop || top + ROW > this.scroller.scrollTop + height;
    if (hidden && middle) this.scroller.scrollTop = top - Math.floor(height / 2);
    else if (top < this.scroller.scrollTop) this.scroller.scrollTop = top - ROW;
    else if (top + ROW > this.scroller.scrollTop + height) this.scroller.scrollTop = top + 2 * ROW - height;
    this.draw();
  }

  /** Fetch the chosen step again when something about it changed. */
  checkStep() {
    const tree = this.skeleton;
    if (!tree) return;
    const row = tree.place.get(this.selected ?? "");
    if (row === undefined) {
      if (tree.size) this.choose(tree.id(0));
      return;
    }
    const mark = tree.mark(row);
    const running = tree.status(row) === "running";
    if (this.mark && (mark !== this.mark || running)) this.pane.refresh(tree, row);
    this.pane.neighbours(tree, row);
    this.mark = mark;
  }

  /** Whether a row stands for many alike. @param {number} row */
  closed(row) {
    const tree = this.skeleton;
    return Boolean(tree?.run[row]) && !this.found && !this.opened.has(tree?.id(row) ?? "");
  }

  /** Fold or unfold a step, or steps alike. @param {string} id */
  fold(id) {
    const tree = this.skeleton;
    const row = tree?.place.get(id);
    if (!tree || row === undefined || this.found) return;
    if (this.closed(row)) this.opened.add(id);
    else if (tree.children[row]) {
      if (!this.folded.delete(id)) this.folded.add(id);
    } else return;
    this.arrange();
    this.draw();
  }

  /** Put steps alike back into one row. @param {number} row any of them @returns {boolean} whether they stood open */
  gather(row) {
    const tree = this.skeleton;
    const first = tree?.runOf[row] ?? -1;
    if (!tree || first < 0 || !this.opened.delete(tree.id(first))) return false;
    this.arrange();
    this.choose(tree.id(first), { scroll: true });
    return true;
  }

  /** Fold everything from this level on. @param {number} level levels that stay open */
  foldTo(level) {
    const tree = this.skeleton;
    if (!tree) {
      this.queued.push(() => this.foldTo(level));
      return;
    }
    if (this.found) return;
    this.folded.clear();
    this.opened.clear();
    for (let row = 0; row < tree.size; row++) {
      if (tree.children[row] && (tree.columns.depth[row] ?? 0) + 1 >= level) this.folded.add(tree.id(row));
      if (tree.run[row] && level === Infinity) this.opened.add(tree.id(row));
    }
    this.arrange();
    while (this.selected && !this.seen.includes(tree.place.get(this.selected) ?? -1)) {
      const at = tree.place.get(this.selected) ?? 0;
      const first = tree.runOf[at] ?? -1;
      const above = first >= 0 && first !== at ? first : (tree.parent[at] ?? -1);
      if (above < 0) break;
      this.selected = tree.id(above);
    }
    this.reveal();
    this.draw();
    if (this.selected && this.selected !== this.pane.shown) this.choose(this.selected);
  }

  /** @param {MouseEvent} event */
  click(event) {
    const row = near(event, ".row");
    if (!row) return;
    const id = row.id.slice(2);
    if (!this.skeleton && !opensElsewhere(event)) {
      event.preventDefault();
      this.queued.push(() => this.click(event));
      return;
    }
    if (near(event, ".fold")) {
      this.fold(id);
      return;
    }
    if (near(event, ".times")) {
      if (!this.gather(this.skeleton?.place.get(id) ?? -1)) this.fold(id);
      return;
    }
    if (near(event, "a") && opensElsewhere(event)) return;
    event.preventDefault();
    this.choose(id);
  }

  /** The keys that move within the tree; those that work anywhere on the page are in trace.js. */
  /** @param {KeyboardEvent} event */
  key(event) {
    const tree = this.skeleton;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!tree) {
      if (!MOVES.has(event.key)) return;
      event.preventDefault();
      this.queued.push(() => this.key(event));
      return;
    }
    const row = tree.place.get(this.selected ?? "") ?? 0;
    const at = this.seen.indexOf(row);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 2);
    const closed = this.closed(row);
    const folds = !this.found && (closed || Boolean(tree.children[row]));
    const folded = closed || this.folded.has(tree.id(row));
    /** @param {number} place */
    const go = (place) => {
      const target = this.seen[Math.max(0, Math.min(this.seen.length - 1, place))];
      if (target !== undefined) this.choose(tree.id(target), { scroll: true });
    };
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "PageDown") go(at + page);
    else if (event.key === "PageUp") go(at - page);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(this.seen.length - 1);
    else if (event.key === "ArrowRight") {
      if (folds && folded) this.fold(tree.id(row));
      else if (folds) go(at + 1);
    } else if (event.key === "ArrowLeft") {
      const above = tree.parent[row] ?? -1;
      if (folds && !folded) this.fold(tree.id(row));
      else if (!this.gather(row) && above >= 0) this.choose(tree.id(above), { scroll: true });
    } else if (event.key === "Enter") this.pane.element.focus();
    else return;
    event.preventDefault();
  }

  /** Go to a step that the head names. @param {string} id */
  goTo(id) {
    if (!this.skeleton) {
      this.queued.push(() => this.goTo(id));
      return;
    }
    this.choose(id, { scroll: true });
    // On a phone the step stands below its tree.
    const panes = this.pane.element.parentElement;
    if (panes && getComputedStyle(panes).display === "block") this.pane.element.scrollIntoView({ block: "start" });
  }

  /** Go to the next step that failed, or back to the one before. @param {boolean} back */
  error(back) {
    const tree = this.skeleton;
    if (!tree) {
      this.queued.push(() => this.error(back));
      return;
    }
    const from = tree.place.get(this.selected ?? "") ?? 0;
    const errors = tree.errors;
    if (!errors.length) {
      say("No step failed");
      return;
    }
    const next = back ? errors.filter((row) => row < from).at(-1) : errors.find((row) => row > from);
    const target = next ?? (back ? errors.at(-1) : errors[0]) ?? 0;
    this.choose(tree.id(target), { scroll: true });
    const words = errors.length === 1 ? "The only error" : `Error ${errors.indexOf(target) + 1} of ${errors.length}`;
    say(words);
    byId("error-at").textContent = words;
  }
}

/** Whether a click asks for another tab or window. @param {MouseEvent} event */
export function opensElsewhere(event) {
  return event.ctrlKey || event.metaKey || event.shiftKey;
}

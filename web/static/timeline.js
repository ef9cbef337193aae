// The time of a trace: the map of all of it, the window of it that the lanes show, idle stretches, the critical path.

import { address, asked, byId, make, near, say } from "./dom.js";
import { duration } from "./format.js";
import { Lane, WHOLE } from "./lane.js";
import { criticalPath } from "./path.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./lane.js").Span} Span */

const SVG = "http://www.w3.org/2000/svg";
const COLUMNS = 400; // the map's resolution
const LEVELS = 8; // levels of the tree that the map shows
const LEAST = 1; // microseconds: nothing is shorter on the lane
const DRAG_PX = 5;
const LONG_GAP = 0.02; // an idle stretch is pressed from this share of the trace on
const WORTH_PRESSING = 0.2; // from this share on there is something to press
const MOSTLY_IDLE = 0.8; // and from this one on the page offers it
const AFTER_MS = 200;
const WORKING = new Set(["llm", "embedding", "retriever", "reranker"]); // at work even while something runs below

export class Timeline {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.map = byId("map");
    this.axis = /** @type {HTMLElement} */ (tree.columns.querySelector(".ticks"));
    this.offer = byId("idle");
    /** @type {Span[]} */
    this.idle = [];
    this.pressed = asked("press") === "1";
    this.timer = 0;
    /** @type {{from: number, on: Element, moved: boolean} | null} */
    this.drag = null;
    /** Where fingers are on the lanes, by pointer. @type {Map<number, number>} */
    this.fingers = new Map();
    const [from, to] = (asked("t") ?? "").split("-").map(Number);
    if (from !== undefined && to !== undefined && to > from) tree.window = { from, to };
    tree.addEventListener("take", () => this.#take());
    tree.addEventListener("draw", () => this.#drawMap());
    for (const place of [this.map, tree.host, this.axis]) {
      place.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      place.addEventListener("pointerdown", (event) => this.#down(event));
      place.addEventListener("pointermove", (event) => this.#move(event));
      place.addEventListener("pointerup", (event) => this.#up(event));
      place.addEventListener("pointercancel", (event) => this.#drop(event));
      place.addEventListener("dblclick", (event) => this.#fitUnder(event));
    }
    byId("critical").addEventListener("click", () => this.togglePath());
    this.offer.addEventListener("click", () => this.togglePress());
  }

  #take() {
    const { skeleton, critical } = this.tree;
    if (!skeleton) return;
    if (critical || asked("path") === "1") this.tree.critical = criticalPath(skeleton);
    this.#outline();
    clearTimeout(this.timer);
    if (this.pressed) this.#findIdle();
    else this.timer = setTimeout(() => this.#findIdle(), AFTER_MS);
    this.#state();
  }

  #state() {
    byId("critical").setAttribute("aria-pressed", String(Boolean(this.tree.critical)));
    this.offer.setAttribute("aria-pressed", String(this.pressed));
  }

  /** Find the stretches in which no step was at work: those that only wait for the steps below them are not. */
  #findIdle() {
    const tree = this.tree.skeleton;
    if (!tree) return;
    const total = tree.total;
    /** @type {Span[]} */
    const busy = [];
    for (let row = 0; row < tree.size; row++) {
      if (tree.children[row] && !WORKING.has(tree.kind(row))) continue;
      const from = tree.columns.start[row] ?? 0;
      busy.push({ from, to: from + Math.floor(tree.took(row) / 1000) });
    }
    busy.sort((one, other) => one.from - other.from);
    this.idle = [];
    let until = 0;
    for (const { from, to } of [...busy, { from: total, to: total }]) {
      if (from - until >= total * LONG_GAP && from > until) this.idle.push({ from: until, to: from });
      until = Math.max(until, to);
    }
    const share = this.idle.reduce((sum, gap) => sum + gap.to - gap.from, 0) / Math.max(1, total);
    this.offer.hidden = share < WORTH_PRESSING && !this.pressed;
    this.offer.classList.toggle("offered", share > MOSTLY_IDLE && !this.pressed);
    this.offer.title = `${Math.round(share * 100)} % of this trace no step was at work`;
    const gaps = this.pressed ? this.idle : [];
    if (gaps.length !== this.tree.gaps.length || gaps.some((gap, at) => gap.to !== this.tree.gaps[at]?.to)) {
      this.tree.gaps = gaps;
      this.tree.draw();
    }
  }

  togglePress() {
    this.pressed = !this.pressed;
    address({ press: this.pressed ? "1" : null });
    this.#findIdle();
    this.#state();
    say(this.pressed ? "Idle time is pressed together" : "Idle time is shown as it was");
  }

  togglePath() {
    const { skeleton, critical } = this.tree;
    if (!skeleton) return;
    this.tree.critical = critical ? null : criticalPath(skeleton);
    address({ path: critical ? null : "1" });
    this.#state();
    this.tree.draw();
    say(critical ? "The critical path is hidden" : "The critical path is marked");
  }

  /** Show a window of the time; null shows all of it. @param {Span | null} span */
  show(span) {
    const total = this.tree.skeleton?.total ?? 0;
    let window = span;
    if (window) {
      const length = Math.min(total, Math.max(LEAST, window.to - window.from));
      const from = Math.max(0, Math.min(total - length, window.from));
      window = length >= total * 0.9999 ? null : { from, to: from + length };
    }
    this.tree.window = window;
    address({ t: window ? `${Math.floor(window.from)}-${Math.ceil(window.to)}` : null });
    this.tree.draw();
  }

  /** @param {number} factor below 1 to see more of less @param {number} [at] where on the lane, from 0 to 1 */
  zoom(factor, at = 0.5) {
    const lane = this.tree.lane;
    const length = lane.length * factor;
    const begin = lane.begin + at * (lane.length - length);
    this.show({ from: lane.release(begin), to: lane.release(begin + length) });
  }

  /** @param {number} share of the window, to the right */
  pan(share) {
    const { lane, window } = this.tree;
    if (!window) return;
    const most = lane.press(lane.total) - lane.length;
    const begin = Math.max(0, Math.min(most, lane.begin + lane.length * share));
    this.show({ from: lane.release(begin), to: lane.release(begin + lane.length) });
  }

  /** Make a step as wide as the lane. @param {number} row */
  fit(row) {
    const tree = this.tree.skeleton;
    if (!tree) return;
    const from = tree.columns.start[row] ?? 0;
    const length = Math.max(LEAST, Math.floor(tree.took(row) / 1000), (tree.reach[row] ?? 0) - from);
    this.show({ from: from - length * 0.02, to: from + length * 1.02 });
  }

  fitChosen() {
    const row = this.tree.skeleton?.place.get(this.tree.selected ?? "");
    if (row !== undefined) this.fit(row);
  }

  /** Where on the lane, or on the map, a pointer is: from 0 to 1. @param {MouseEvent} event @param {Element} on */
  #share(event, on) {
    const box = on.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / Math.max(1, box.width)));
  }

  /** The element that a pointer's place on the lane is measured by. @param {Event} event @returns {Element | null} */
  #laneUnder(event) {
    if (event.currentTarget === this.map) return this.map;
    if (event.currentTarget === this.axis) return this.axis;
    return event.target instanceof Element && event.target.closest("svg.lane") ? this.axis : null;
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    const on = this.#laneUnder(event);
    if (!on) return;
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const factor = Math.exp(
        Math.max(-1, Math.min(1, event.deltaY * (event.ctrlKey && event.deltaMode === 0 ? 0.004 : 0.1))),
      );
      if (on !== this.map) this.zoom(factor, this.#share(event, on));
      else this.zoom(factor, Math.max(0, Math.min(1, this.tree.lane.place(this.#instant(event, on)) / WHOLE)));
    } else if (sideways && this.tree.window) {
      event.preventDefault();
      this.pan(((event.deltaX || event.deltaY) / Math.max(1, this.axis.clientWidth)) * 1);
    }
  }

  /** @param {MouseEvent} event @param {Element} on */
  #instant(event, on) {
    const share = this.#share(event, on);
    return on === this.map ? share * (this.tree.skeleton?.total ?? 0) : this.tree.lane.instant(share);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const on = this.#laneUnder(event);
    if (!on || event.button !== 0 || event.ctrlKey || event.metaKey) return;
    if (event.pointerType === "touch" && on !== this.map) {
      this.fingers.set(event.pointerId, event.clientX); // one on the lanes scrolls, two zoom
      return;
    }
    this.drag = { from: event.clientX, on, moved: false };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (this.fingers.has(event.pointerId)) this.#pinch(event);
    const drag = this.drag;
    if (!drag) return;
    if (!drag.moved && Math.abs(event.clientX - drag.from) < DRAG_PX) return;
    if (!drag.moved && event.currentTarget instanceof Element) {
      drag.moved = true;
      event.currentTarget.setPointerCapture(event.pointerId);
      document.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
    }
    event.preventDefault();
    const box = drag.on.getBoundingClientRect();
    const held = Math.max(box.left, Math.min(box.right, event.clientX));
    const pick = byId("pick");
    const host = /** @type {HTMLElement} */ (pick.parentElement).getBoundingClientRect();
    pick.hidden = false;
    pick.style.left = `${Math.min(drag.from, held) - host.left}px`;
    pick.style.width = `${Math.abs(held - drag.from)}px`;
    pick.style.top = `${(drag.on === this.map ? box.top : this.axis.getBoundingClientRect().top) - host.top}px`;
    pick.style.height = drag.on === this.map ? `${box.height}px` : "";
    const ends = [this.#at(drag.from, drag.on), this.#at(held, drag.on)].sort((one, other) => one - other);
    pick.textContent = duration(((ends[1] ?? 0) - (ends[0] ?? 0)) * 1000);
  }

  /** Zoom as two fingers part, at the place between them. @param {PointerEvent} event */
  #pinch(event) {
    const other = [...this.fingers].find(([finger]) => finger !== event.pointerId)?.[1];
    const before = this.fingers.get(event.pointerId) ?? event.clientX;
    this.fingers.set(event.pointerId, event.clientX);
    if (other === undefined || this.fingers.size > 2) return;
    const [apart, now] = [Math.abs(before - other), Math.abs(event.clientX - other)];
    const between = new MouseEvent("move", { clientX: (event.clientX + other) / 2 });
    if (apart > DRAG_PX && now > DRAG_PX) this.zoom(apart / now, this.#share(between, this.axis));
  }

  /** @param {number} x @param {Element} on */
  #at(x, on) {
    return this.#instant(new MouseEvent("move", { clientX: x }), on);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const drag = this.drag;
    this.#drop(event);
    if (!drag) return;
    const here = this.#at(event.clientX, drag.on);
    if (drag.moved) {
      const there = this.#at(drag.from, drag.on);
      this.show({ from: Math.min(here, there), to: Math.max(here, there) });
    } else if (drag.on === this.map && this.tree.window) {
      const half = (this.tree.window.to - this.tree.window.from) / 2;
      this.show({ from: here - half, to: here + half });
    }
  }

  /** @param {PointerEvent} event */
  #drop(event) {
    this.fingers.delete(event.pointerId);
    this.drag = null;
    byId("pick").hidden = true;
  }

  /** @param {MouseEvent} event */
  #fitUnder(event) {
    if (event.currentTarget === this.map || event.currentTarget === this.axis) return this.show(null);
    const row = near(event, ".row") ?? (event.target instanceof Element ? event.target.closest(".row") : null);
    if (!this.#laneUnder(event) || !row) return;
    event.stopImmediatePropagation();
    const at = this.tree.skeleton?.place.get(row.id.slice(2));
    if (at !== undefined) this.fit(at);
  }

  /** Draw the whole trace into the map: one path for each kind of step. */
  #outline() {
    const tree = this.tree.skeleton;
    if (!tree) return;
    const { depth, start } = tree.columns;
    const total = Math.max(1, tree.total);
    /** @type {Map<string, string[]>} */
    const paths = new Map();
    const until = new Int32Array(LEVELS).fill(-1);
    for (let row = 0; row < tree.size; row++) {
      const level = depth[row] ?? 0;
      if (level >= LEVELS) continue;
      const begin = Math.floor(((start[row] ?? 0) / total) * COLUMNS);
      const end = Math.max(begin + 1, Math.ceil((((start[row] ?? 0) + tree.took(row) / 1000) / total) * COLUMNS));
      const own = tree.status(row) === "error" && !tree.children[row];
      if (!own && end <= (until[level] ?? -1)) continue;
      const from = own ? begin : Math.max(begin, until[level] ?? 0);
      const kind = own ? "bad" : tree.kind(row);
      const list = paths.get(kind) ?? [];
      list.push(`M${from} ${level * 4 + 2}h${end - from}v3h${from - end}z`);
      paths.set(kind, list);
      until[level] = Math.max(until[level] ?? 0, end);
    }
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${COLUMNS} ${LEVELS * 4 + 2}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    for (const [kind, list] of [...paths].sort(([one], [other]) => Number(one === "bad") - Number(other === "bad"))) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", `b-${kind}`);
      path.setAttribute("d", list.join(""));
      svg.append(path);
    }
    this.map.querySelector("svg")?.remove();
    this.map.prepend(svg);
  }

  /** Show on the map what the lanes show, and on the lanes where time was pressed. */
  #drawMap() {
    const { lane, window } = this.tree;
    const total = Math.max(1, lane.total);
    const [left, right] = window ? [window.from / total, 1 - window.to / total] : [0, 0];
    const shades = /** @type {NodeListOf<HTMLElement>} */ (this.map.querySelectorAll(".shade"));
    for (const [at, share] of [left, right].entries()) {
      const shade = shades[at];
      if (shade) shade.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
    }
    byId("whole").hidden = !window;
    this.#drawGaps(lane);
  }

  /** @param {Lane} lane */
  #drawGaps(lane) {
    const bands = lane.gaps
      .map((gap) => ({ gap, from: lane.place(gap.from) / 100, to: lane.place(gap.to) / 100 }))
      .filter(({ from, to }) => to > 0 && from < 100);
    const key = bands.map(({ from, to }) => `${from}-${to}`).join();
    if (this.map.dataset.gaps === key) return;
    this.map.dataset.gaps = key;
    for (const old of this.axis.querySelectorAll(".gap")) old.remove();
    for (const { gap, from, to } of bands) {
      const band = make("i", "gap");
      band.title = `${duration((gap.to - gap.from) * 1000)} in which no step was at work`;
      band.style.left = `${from}%`;
      band.style.width = `${to - from}%`;
      this.axis.append(band);
    }
    const stops = bands.flatMap(({ from, to }) => [
      `transparent ${from}%`,
      `var(--line) ${from}% ${to}%`,
      `transparent ${to}%`,
    ]);
    const stripes = stops.length ? `linear-gradient(to right, ${stops.join(", ")})` : "none";
    this.tree.scroller.style.setProperty("--gaps", stripes);
  }
}

// The chain's wiring as it declares it and its last runs show it: one box a name and kind, who calls whom, and what this
// run reached.

import { byId, make, say } from "./dom.js";
import { count, duration } from "./format.js";
import { KINDS } from "./rows.js";
import { CHILD_ERROR, MISSING } from "./skeleton.js";

/** @typedef {import("./tree.js").Tree} Tree */
/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

/**
 * The answer of `…/wiring`.
 * @typedef {object} Observed
 * @property {number} runs
 * @property {number} cut
 * @property {number} left
 * @property {{name: string, kind: string, depth: number, first: number, runs: number, steps: number}[]} nodes
 * @property {[number, number, number][]} edges
 * @property {{name: string, kind: string, parameters: string[], callers: [string, string][]}[]} declared by this run
 */

/**
 * One box: all steps of one name and kind.
 * @typedef {object} Box
 * @property {string} key
 * @property {string} name
 * @property {string} kind
 * @property {number} depth
 * @property {number} first microseconds from a run's beginning
 * @property {number} runs other runs that had it
 * @property {number[]} rows its steps in this run
 * @property {boolean} failed
 * @property {boolean} declared
 * @property {string[]} parameters
 * @property {number} x
 * @property {number} y
 */

/** Calls by this run and by the others; none of either where one is only declared. */
/** @typedef {{from: string, to: string, here: number, there: number}} Edge */

const SVG = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, GAP, EDGE] = [200, 42, 10, 12];
const [STEP, NARROW, LABELLED] = [84, 16, 48]; // how far a level stands to the right, at most and at least
const ASIDE = 44; // room for lines at the right
const DEEP = 8; // levels that are drawn further right
const MOST_ASIDE = 60;
const LETTER = 7.6;
const MOST = 120; // boxes that are drawn

export class Wiring {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.host = byId("wiring");
    this.observed = /** @type {Observed | null} */ (null);
    this.failed = false;
    this.skeleton = /** @type {Skeleton | null} */ (null);
    this.selected = /** @type {string | null} */ (null);
    this.width = 0;
    this.left = 0;
    this.hidden = false;
    /** @type {Box[]} */
    this.boxes = [];
    this.focused = "";
    this.host.addEventListener("click", (event) => {
      const box = this.boxOf(event);
      if (box) this.cycle(box);
    });
    this.host.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => {
      if (this.host.clientWidth !== this.width) this.draw();
    }).observe(this.host);
    tree.addEventListener("draw", () => this.update());
    this.host.replaceChildren(make("p", "hint", "Looking at the last runs of this chain…"));
    void this.read();
  }

  async read() {
    const address = this.host.dataset.wiring;
    try {
      if (!address) throw new Error("Whoever came by a link to one trace sees no other run.");
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      this.observed = /** @type {Observed} */ (await answer.json());
    } catch {
      this.failed = true;
      this.observed = { runs: 0, cut: 0, left: 0, nodes: [], edges: [], declared: [] };
    }
    this.update();
  }

  update() {
    const tree = this.tree.skeleton;
    if (this.host.hidden || !tree || !this.observed) return;
    if (this.skeleton === tree && this.selected === this.tree.selected) return;
    this.skeleton = tree;
    this.selected = this.tree.selected;
    this.draw();
  }

  /** Put this run and what others showed together. @param {Skeleton} tree @param {Observed} observed */
  gather(tree, observed) {
    /** @type {Map<string, Box>} */
    const boxes = new Map();
    /** @type {Map<string, Edge>} */
    const edges = new Map();
    const keys = observed.nodes.map(({ name, kind, depth, first, runs }) => {
      const key = `${kind} ${name}`;
      boxes.set(key, { ...empty(name, kind), depth, first, runs });
      return key;
    });
    /** @param {string} from @param {string} to @param {number} here @param {number} there */
    const join = (from, to, here, there) => {
      const key = `${from}\u0000${to}`;
      const edge = edges.get(key) ?? { from, to, here: 0, there: 0 };
      edge.here += here;
      edge.there += there;
      edges.set(key, edge);
    };
    for (const [from, to, calls] of observed.edges) join(keys[from] ?? "", keys[to] ?? "", 0, calls);
    /** @type {string[]} */
    const own = [];
    for (let row = 0; row < tree.size; row++) {
      const [name, kind, depth] = [tree.name(row), tree.kind(row), tree.columns.depth[row] ?? 0];
      const key = tree.flags(row) & MISSING ? "" : `${kind} ${name}`;
      own.push(key);
      if (!key) continue;
      const first = tree.columns.start[row] ?? 0;
      const box = boxes.get(key) ?? { ...empty(name, kind), depth, first };
      boxes.set(key, box);
      box.depth = Math.min(box.depth, depth);
      box.rows.push(row);
      box.failed ||= tree.status(row) === "error" && !(tree.flags(row) & CHILD_ERROR);
      const above = tree.parent[row] ?? -1;
      if (above >= 0 && own[above]) join(own[above], key, 1, 0);
    }
    for (const { name, kind, parameters, callers } of observed.declared) {
      // A tool's step is often called `execute_tool its_name`.
      const known =
        boxes.get(`${kind} ${name}`) ??
        [...boxes.values()].find((one) => one.kind === kind && /^[ .:/]$/.test(one.name.slice(-name.length - 1, -name.length)) && one.name.endsWith(name)); // biome-ignore format: one line
      const box = known ?? empty(name, kind);
      box.parameters = parameters;
      box.declared = true;
      boxes.set(box.key, box);
      for (const [caller, of] of callers) {
        const from = `${of} ${caller}`;
        const above = boxes.get(from);
        if (!above || from === box.key) continue;
        if (!known) [box.depth, box.first] = [Math.max(box.depth, above.depth + 1), above.first + 1];
        if (!known || (!box.rows.length && !box.runs)) join(from, box.key, 0, 0);
      }
    }
    const all = [...boxes.values()];
    const kept = all
      .sort((one, other) => other.runs - one.runs || other.rows.length - one.rows.length || one.first - other.first)
      .slice(0, MOST);
    this.left = all.length - kept.length + observed.left;
    this.boxes = kept.sort((one, other) => one.depth - other.depth || one.first - other.first);
    return edges;
  }

  draw() {
    const { skeleton: tree, observed } = this;
    if (!tree || !observed || this.host.hidden) return;
    const focus = this.host.contains(document.activeElement) ? this.focused : "";
    const edges = [...this.gather(tree, observed).values()];
    this.width = this.host.clientWidth;
    const places = new Map(this.boxes.map((box) => [box.key, box]));
    const callers = this.arrange(edges, places);
    const deepest = this.boxes.reduce((most, box) => Math.max(most, box.depth), 0);
    const room = Math.max(160, this.width - 2 * EDGE - ASIDE - 14);
    const wide = Math.min(WIDE, room - Math.min(deepest, DEEP) * NARROW);
    const step = Math.max(NARROW, Math.min(STEP, (room - wide) / Math.max(1, Math.min(deepest, DEEP))));
    this.boxes.forEach((box, at) => {
      box.x = EDGE + Math.min(box.depth, DEEP) * step;
      box.y = EDGE + at * (HIGH + GAP);
    });
    const height = 2 * EDGE + this.boxes.length * (HIGH + GAP);
    const svg = piece("svg", { width: String(room + 2 * EDGE + ASIDE), height: String(height), role: "group" });
    svg.setAttribute("aria-label", "Steps of this chain and who calls whom");
    if (!places.has(this.focused)) {
      const chosen = tree.place.get(this.selected ?? "") ?? 0;
      this.focused = `${tree.kind(chosen)} ${tree.name(chosen)}`;
    }
    const chosen = tree.place.get(this.selected ?? "") ?? -1;
    const touched = chosen >= 0 ? `${tree.kind(chosen)} ${tree.name(chosen)}` : "";
    const further = edges.filter(({ from, to }) => callers.get(to) !== from && places.has(from) && places.has(to));
    this.hidden = further.length > MOST_ASIDE;
    for (const edge of edges.sort((one, other) => one.here - other.here)) {
      const [above, below] = [places.get(edge.from), places.get(edge.to)];
      if (!above || !below) continue;
      if (callers.get(edge.to) === edge.from) svg.append(...down(above, below, edge, step));
      else if (!this.hidden || edge.from === touched || edge.to === touched)
        svg.append(aside(above, below, edge, wide));
    }
    for (const box of this.boxes) svg.append(this.box(box, tree, observed, wide));
    this.host.replaceChildren(this.legend(observed), svg);
    if (focus) document.getElementById(`w-${this.boxes.findIndex((box) => box.key === focus)}`)?.focus();
  }

  /**
   * Put the boxes under the one that calls them most, in the order in which they begin.
   * @param {Edge[]} edges
   * @param {Map<string, Box>} places
   * @returns {Map<string, string>} who calls each most
   */
  arrange(edges, places) {
    /** @type {Map<string, {from: string, calls: number}>} */
    const most = new Map();
    for (const { from, to, here, there } of edges) {
      const [above, below] = [places.get(from), places.get(to)];
      const calls = 1 + here * 1000 + there; // what this run did says more
      if (above && below && above.depth < below.depth && calls > (most.get(to)?.calls ?? 0))
        most.set(to, { from, calls });
    }
    /** @type {Map<string, Box[]>} */
    const below = new Map();
    for (const box of this.boxes) {
      const caller = most.get(box.key)?.from ?? "";
      below.set(caller, [...(below.get(caller) ?? []), box]);
    }
    /** @type {Box[]} */
    const ordered = [];
    const pending = [...(below.get("") ?? [])].reverse();
    for (let box = pending.pop(); box; box = pending.pop()) {
      ordered.push(box);
      pending.push(...(below.get(box.key) ?? []).reverse());
    }
    this.boxes = ordered;
    return new Map([...most].map(([to, { from }]) => [to, from]));
  }

  /** @param {Observed} observed */
  legend(observed) {
    const { runs, cut } = observed;
    const words = [];
    if (this.failed) words.push("The other runs cannot be read here: this is this run alone.");
    else if (!runs)
      words.push("This is the only run of this chain so far: steps that others reach will stand here too.");
    else
      words.push(
        `This run, and in grey what only the ${runs === 1 ? "other run" : `${runs} other last runs`} reached.`,
      );
    if (this.boxes.some((box) => box.declared && !box.rows.length && !box.runs))
      words.push("Broken frames are steps that it could have taken: declared, and reached by none.");
    if (cut) words.push(`Of ${count(cut)} large ${cut === 1 ? "run" : "runs"} only a part was read.`);
    if (this.left) words.push(`${count(this.left)} more names are not drawn.`);
    if (this.hidden) words.push("Lines at the right are drawn for the chosen step only.");
    words.push("A click goes through a box's steps.");
    return make("p", "hint", words.join(" "));
  }

  /** @param {Box} box @param {Skeleton} tree @param {Observed} observed @param {number} wide */
  box(box, tree, observed, wide) {
    const many = box.rows.length;
    const at = box.rows.indexOf(tree.place.get(this.selected ?? "") ?? -1);
    const [letter, words] = KINDS[box.kind] ?? ["O", "other step"];
    const place = this.boxes.indexOf(box);
    const state = `${many ? "" : " unreached"}${at >= 0 ? " chosen" : ""}${box.failed ? " failed" : ""}`;
    const group = piece("g", {
      class: `box b-${box.kind}${state}`,
      id: `w-${place}`,
      role: "button",
      tabindex: box.key === this.focused || (!this.focused && !place) ? "0" : "-1",
      transform: `translate(${box.x} ${box.y})`,
    });
    const time = box.rows.reduce((sum, row) => sum + tree.took(row), 0);
    const others = observed.runs ? `${box.runs} of ${observed.runs} other runs` : "";
    let told = box.runs ? `in ${others}` : "declared, not reached";
    if (many) told = `${many > 1 ? `×${count(many)} · ` : ""}${duration(time)}`;
    if (many && observed.runs && !box.runs) told += " · new";
    if (at >= 0 && many > 1) told = `${count(at + 1)} of ${count(many)} · ${duration(tree.took(box.rows[at] ?? 0))}`;
    const reached = many ? `${count(many)} ${many === 1 ? "step" : "steps"} in this run` : "not reached in this run";
    const given = box.parameters.length ? `; ${box.parameters.join(", ")}` : "";
    const label = `${box.name}, ${words}, ${reached}${box.failed ? ", failed" : ""}${others ? `, in ${others}` : ""}${given}`;
    const model = box.parameters.find((one) => one.startsWith("model: "))?.slice("model: ".length);
    if (model) told += ` · ${model}`;
    group.setAttribute("aria-label", label);
    if (!many) group.setAttribute("aria-disabled", "true");
    if (at >= 0) group.setAttribute("aria-current", "true");
    const title = piece("title", {});
    title.textContent = label;
    const room = Math.floor((wide - 40) / LETTER);
    const name = (box.failed ? "✕ " : "") + box.name;
    const texts = [
      piece("text", { class: "letter", x: "17", y: "19" }),
      piece("text", { class: "named", x: "32", y: "18" }),
      piece("text", { class: "told", x: "32", y: "33" }),
    ];
    [letter, cut(name, room), cut(told, room + 4)].forEach((text, nth) => {
      const element = texts[nth];
      if (element) element.textContent = text;
    });
    group.append(
      title,
      piece("rect", { class: "frame", width: String(wide), height: String(HIGH), rx: "6" }),
      piece("rect", { class: "badge", x: "8", y: "6", width: "18", height: "18", rx: "5" }),
      ...texts,
    );
    return group;
  }

  /** @param {Event} event */
  boxOf(event) {
    const group = event.target instanceof Element ? event.target.closest("g.box") : null;
    return group ? this.boxes[Number(group.id.slice(2))] : undefined;
  }

  /** Choose the box's first step, or the one after the chosen one. @param {Box} box */
  cycle(box) {
    const tree = this.skeleton;
    this.focused = box.key;
    if (!tree || !box.rows.length) {
      say(`${box.name} was not reached in this run`);
      return;
    }
    const at = (box.rows.indexOf(tree.place.get(this.tree.selected ?? "") ?? -1) + 1) % box.rows.length;
    this.tree.choose(tree.id(box.rows[at] ?? 0), { scroll: true });
    say(`${box.name}, ${at + 1} of ${box.rows.length}`);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const box = this.boxOf(event);
    if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") this.cycle(box);
    else {
      const next = this.beside(box, event.key);
      if (!next) return;
      this.focused = next.key;
      for (const [place, other] of this.boxes.entries()) {
        const element = document.getElementById(`w-${place}`);
        element?.setAttribute("tabindex", other === next ? "0" : "-1");
        if (other === next) element?.focus();
      }
    }
    event.preventDefault();
  }

  /** The box that an arrow leads to. @param {Box} box @param {string} key */
  beside(box, key) {
    const at = this.boxes.indexOf(box);
    if (key === "ArrowDown" || key === "ArrowRight") return this.boxes[at + 1];
    if (key === "ArrowUp" || key === "ArrowLeft") return this.boxes[at - 1];
    if (key === "Home") return this.boxes[0];
    if (key === "End") return this.boxes.at(-1);
    return undefined;
  }
}

/** @param {string} text @param {number} room letters */
function cut(text, room) {
  return text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text;
}

/** A box of which nothing is known yet. @param {string} name @param {string} kind @returns {Box} */
function empty(name, kind) {
  const none = { depth: 0, first: 0, runs: 0, rows: [], failed: false, declared: false, parameters: [], x: 0, y: 0 };
  return { key: `${kind} ${name}`, name, kind, ...none };
}

/** How a call is told. @param {Box} from @param {Box} to @param {Edge} edge @param {string} d */
function wire(from, to, { here, there }, d) {
  const path = piece("path", { class: `wire${here ? "" : " unreached"}`, d });
  path.setAttribute("stroke-width", String(1 + Math.min(3, Math.log10(Math.max(1, here)) * 1.2)));
  const title = piece("title", {});
  title.textContent = `${from.name} calls ${to.name}: ${count(here)} times in this run, ${count(there)} in the others`;
  path.append(title);
  return path;
}

/** From a box down to one that it calls. @param {Box} from @param {Box} to @param {Edge} edge @param {number} step */
function down(from, to, edge, step) {
  const [x, y] = [from.x + NARROW / 2 + 3, to.y + HIGH / 2];
  const parts = [wire(from, to, edge, `M${x} ${from.y + HIGH}V${y - 6}Q${x} ${y} ${x + 6} ${y}H${to.x}`)];
  if (edge.here > 1 && step >= LABELLED) {
    const label = piece("text", { class: "calls", x: String(to.x - 5), y: String(y - 5) });
    label.textContent = `×${count(edge.here)}`;
    parts.push(label);
  }
  return parts;
}

/** A call of a box that another calls more often, at the right. @param {Box} from @param {Box} to @param {Edge} edge @param {number} wide */
function aside(from, to, edge, wide) {
  const [x, y] = [from.x + wide, from.y + HIGH / 2 - 6];
  const [tox, toy] = [to.x + wide, to.y + HIGH / 2 + 6];
  const out = Math.max(x, tox) + Math.min(ASIDE - 8, 14 + Math.abs(toy - y) / 10);
  return wire(from, to, edge, `M${x} ${y}C${out} ${y} ${out} ${toy} ${tox} ${toy}`);
}

/** @param {string} tag @param {Record<string, string>} attributes */
function piece(tag, attributes) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

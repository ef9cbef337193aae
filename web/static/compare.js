// The comparison of two traces: one line a step, drawn only where it is seen; the chosen pair is fetched.

import "./split.js";
import { commands } from "./commands.js";
import { address, asked, byId, htmx, make, near, say } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { KINDS } from "./rows.js";

/**
 * The answer of `…/compare/rows`: one entry a line in each list; the pairs are what it was, and what it is.
 * @typedef {object} Lines
 * @property {string} version
 * @property {[string, string][]} ids
 * @property {number[]} depth
 * @property {number[]} state
 * @property {number[]} moved
 * @property {number[]} name
 * @property {number[]} kind
 * @property {number[]} status
 * @property {number[]} own 1 for a step that failed of itself
 * @property {number[]} was
 * @property {[number, number][]} took
 * @property {[number, number][]} tokens
 * @property {[number, number][]} cost
 * @property {string[]} names
 * @property {string[]} kinds
 * @property {string[]} statuses
 */

const ROW = 28;
const BEYOND = 12;
const AT_ONCE = 30; // pairs whose texts are compared by one request
const UNASKED = 300; // pairs whose texts are compared before they are seen
const KEYS_MS = 110;
const FAR = 0.2; // a change from this share on stands out
const STATES = ["quiet", "changed", "added", "removed", "awaited"];
const SIGNS = ["", "≠", "+", "−", "…"];
const WORDS = ["the same", "changed", "new", "gone", "not reached yet"];
const CALM_MS = 250; // least time between two reads of a comparison with a run that goes on
const MOST_REST_MS = 5000; // and most, also when a read took for ever or the machine slept meanwhile
const [SAME, CHANGED, AWAITED] = [0, 1, 4];

class Comparison {
  constructor() {
    this.host = byId("lines");
    this.scroller = byId("scroll");
    this.pane = byId("pair");
    this.base = this.host.dataset.compare ?? "";
    this.traces = new URLSearchParams({ a: this.host.dataset.one ?? "", b: this.host.dataset.other ?? "" });
    this.lines = /** @type {Lines | null} */ (null);
    /** @type {number[]} */
    this.seen = [];
    this.chosen = -1;
    /** Whether the chosen line is the page's own choice: the first that differs. */
    this.untouched = false;
    this.only = asked("only") === "1";
    /** Pairs whose texts were asked for, and whether they differ. @type {Map<string, boolean>} */
    this.checked = new Map();
    this.checking = false;
    this.reading = false;
    this.again = false;
    this.delay = 0;
    this.asked = 0;
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.scroller);
    this.host.addEventListener("click", (event) => {
      // A row that was drawn anew between press and release gets no click from the browser: its place tells.
      const row = near(event, ".row") ?? document.elementFromPoint(event.clientX, event.clientY)?.closest(".row");
      if (row) this.choose(Number(row.id.slice(2)));
    });
    this.host.addEventListener("keydown", (event) => this.key(event));
    byId("head").addEventListener("click", (event) => {
      const link = near(event, ".acts a");
      const pair = this.lines?.ids[this.chosen];
      if (!(link instanceof HTMLAnchorElement) || !pair) return;
      const there = new URL(link.href);
      there.searchParams.set("span", pair[1] || pair[0]);
      link.href = there.href;
    });
    byId("only").addEventListener("click", () => this.toggle());
  }

  async start() {
    const live = byId("live");
    const ours = [this.traces.get("a"), this.traces.get("b")];
    live.addEventListener("ready", () => this.lines && void this.read());
    live.addEventListener("traces", (event) => {
      const told = event instanceof CustomEvent ? String(event.detail?.data ?? "") : "";
      if (ours.some((id) => id && told.includes(id))) void this.read();
    });
    // The head comes without what only this module knows.
    document.addEventListener("htmx:after:swap", () => this.sum());
    await this.read();
  }

  /** Read the lines, unless both traces are as they were; once more afterwards when asked meanwhile. */
  async read() {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    const began = performance.now();
    try {
      const known = this.lines ? `&unless=${encodeURIComponent(this.lines.version)}` : "";
      const answer = await fetch(`${this.base}/rows?${this.traces}${known}`);
      if (answer.status === 200) this.take(/** @type {Lines} */ (await answer.json()));
      else if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    } catch {
      if (!this.lines) {
        byId("rest").textContent =
          "The steps could not be compared: the server did not answer. Load the page again to retry.";
        byId("sum").textContent = "not compared";
      }
    } finally {
      setTimeout(
        () => {
          this.reading = false;
          if (!this.again) return;
          this.again = false;
          void this.read();
        },
        Math.min(MOST_REST_MS, Math.max(CALM_MS, (performance.now() - began) * 3)),
      );
    }
  }

  /** Show the lines, or a newer state of them, holding on to what the reader sees. @param {Lines} lines */
  take(lines) {
    const before = this.lines;
    const pair = before?.ids[this.chosen];
    const told = before ? this.mark(before, this.chosen) : "";
    this.lines = lines;
    byId("rest").hidden = true;
    lines.ids.forEach((ids, row) => {
      // What still ran may read otherwise by now.
      if (this.running(row)) this.checked.delete(ids.join("."));
      else if (lines.state[row] === SAME && this.checked.get(ids.join("."))) lines.state[row] = CHANGED;
    });
    const wanted = asked("span");
    const at = pair
      ? lines.ids.findIndex((ids) => ids.some((id, side) => id && id === pair[side]))
      : lines.ids.findIndex((ids) => wanted && ids.includes(wanted));
    this.chosen = Math.max(-1, at);
    this.arrange();
    if (!before) {
      const first = lines.state.findIndex((state) => state !== SAME && state !== AWAITED);
      if (lines.ids.length) this.choose(at >= 0 ? at : Math.max(0, first), { keep: at < 0 });
      this.untouched = at < 0;
      performance.mark("stepscope-usable");
    } else {
      const head = byId("head");
      void htmx.ajax("GET", head.dataset.here ?? "", { source: head, target: head, swap: "outerMorph" });
      if (at >= 0 && (this.mark(lines, at) !== told || this.running(at))) this.fetch("innerMorph");
    }
    void this.check();
  }

  /** Whether one of a pair still runs. @param {number} row */
  running(row) {
    const { lines } = this;
    return [lines?.was[row], lines?.status[row]].some((state) => lines?.statuses[state ?? -1] === "running");
  }

  /** What a pair's page depends on. @param {Lines} lines @param {number} row */
  mark(lines, row) {
    return [lines.ids[row], lines.status[row], lines.was[row], lines.took[row], lines.tokens[row]].join();
  }

  /** Work out which lines are seen: all, or what differs with what lies above it. */
  arrange() {
    const { lines } = this;
    if (!lines) return;
    const rows = lines.ids.map((_, row) => row);
    if (this.only) {
      const keep = new Uint8Array(rows.length);
      /** @type {number[]} */
      const above = [];
      for (const row of rows) {
        above.length = lines.depth[row] ?? 0;
        above.push(row);
        if (this.differs(row)) for (const up of above) keep[up] = 1;
      }
      this.seen = rows.filter((row) => keep[row]);
    } else this.seen = rows;
    byId("only").setAttribute("aria-pressed", String(this.only));
    this.sum();
    this.draw();
  }

  /** @param {number} row */
  differs(row) {
    return this.lines?.state[row] !== SAME || Boolean(this.lines?.moved[row]);
  }

  sum() {
    const { lines } = this;
    if (!lines) return;
    const found = STATES.map(() => 0);
    for (const state of lines.state) found[state] = (found[state] ?? 0) + 1;
    const parts = WORDS.map((words, state) => [words, found[state] ?? 0, state]).filter(
      ([, many, state]) => many && state,
    );
    const moved = lines.moved.filter(Boolean).length;
    if (moved) parts.push(["moved", moved, 9]);
    const words = parts.map(([word, many]) => `${count(Number(many))} ${word}`);
    byId("sum").textContent = words.length ? words.join(", ") : "no step differs";
    const all = `${count(lines.ids.length)} ${lines.ids.length === 1 ? "step" : "steps"}`;
    byId("count").textContent = this.only ? `${count(this.seen.length)} of ${all}` : all;
  }

  toggle() {
    this.only = !this.only;
    address({ only: this.only ? "1" : null });
    this.arrange();
    this.reveal();
    say(this.only ? "Only differences are shown" : "All steps are shown");
  }

  draw() {
    const { lines } = this;
    if (!lines) return;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.seen.length, first + Math.ceil(this.scroller.clientHeight / ROW) + 2 * BEYOND);
    const rows = this.seen.slice(first, last).map((row) => this.row(lines, row));
    this.host.replaceChildren(...rows);
    if (!rows.length) this.host.append(make("p", "rest", this.only ? "No step differs." : "There is no step."));
    this.host.style.paddingTop = `${first * ROW}px`;
    this.host.style.paddingBottom = `${(this.seen.length - last) * ROW}px`;
    if (document.getElementById(`l-${this.chosen}`))
      this.host.setAttribute("aria-activedescendant", `l-${this.chosen}`);
    else this.host.removeAttribute("aria-activedescendant");
    if (this.checked.size >= UNASKED) void this.check();
  }

  /** @param {Lines} lines @param {number} row */
  row(lines, row) {
    const state = lines.state[row] ?? SAME;
    const depth = lines.depth[row] ?? 0;
    const line = make("div", `row cmp d${Math.min(12, depth)} ${STATES[state]}`);
    line.id = `l-${row}`;
    line.setAttribute("role", "treeitem");
    line.setAttribute("aria-level", String(depth + 1));
    line.setAttribute("aria-selected", String(row === this.chosen));
    const name = make("span", "name");
    const sign = make("span", "mark-of", SIGNS[state] || (lines.moved[row] ? "↕" : ""));
    sign.title = lines.moved[row]
      ? `${WORDS[state]}, and moved: it stands below another step now`
      : (WORDS[state] ?? "");
    if (state || lines.moved[row]) sign.append(make("span", "sr", ` ${sign.title}`));
    const [letter, words] = KINDS[lines.kinds[lines.kind[row] ?? 0] ?? "other"] ?? ["O", "other step"];
    const badge = make("abbr", `k k-${lines.kinds[lines.kind[row] ?? 0] ?? "other"}`, letter);
    badge.title = words;
    name.append(sign, badge, make("bdi", "", lines.names[lines.name[row] ?? -1] ?? ""));
    if (this.running(row)) {
      const now = make("span", "now");
      now.title = "running";
      name.append(now);
    }
    const [was, is] = [lines.statuses[lines.was[row] ?? -1], lines.statuses[lines.status[row] ?? -1]];
    if (is === "error" || was === "error") {
      const fails = is === "error" && state < 3;
      const own = Boolean(lines.own[row]);
      const told = make(
        "span",
        fails ? (own ? "own" : "below") : "model",
        fails ? (own ? "✕" : "▲") : "no longer fails",
      );
      if (fails)
        told.title = was === "error" ? "it failed, now as before" : own ? "it failed" : "failed, as a step below did";
      name.append(told);
    }
    line.append(name, ...figures(lines, row));
    return line;
  }

  /** Choose a line and fetch its pair. @param {number} row @param {{keep?: boolean}} [how] keep the address as it is */
  choose(row, { keep = false } = {}) {
    const { lines } = this;
    const pair = lines?.ids[row];
    if (!lines || !pair) return;
    this.chosen = row;
    this.untouched &&= keep;
    if (!this.seen.includes(row)) {
      this.only = false;
      address({ only: null });
      this.arrange();
    }
    this.reveal();
    if (!keep) address({ span: pair[1] || pair[0] });
    clearTimeout(this.delay);
    const now = performance.now();
    const hurry = now - this.asked < KEYS_MS;
    this.asked = now;
    if (hurry) this.delay = setTimeout(() => this.fetch("innerHTML"), KEYS_MS);
    else this.fetch("innerHTML");
  }

  /** Fetch the chosen pair. @param {"innerHTML" | "innerMorph"} swap */
  fetch(swap) {
    const pair = this.lines?.ids[this.chosen];
    if (!pair) return;
    const query = new URLSearchParams(this.traces);
    if (pair[0]) query.set("one", pair[0]);
    if (pair[1]) query.set("other", pair[1]);
    void htmx.ajax("GET", `${this.base}/pair?${query}`, { source: this.pane, target: this.pane, swap });
  }

  reveal() {
    const at = this.seen.indexOf(this.chosen);
    const height = this.scroller.clientHeight - ROW;
    const top = at * ROW;
    if (at >= 0 && top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (at >= 0 && top + ROW > this.scroller.scrollTop + height) this.scroller.scrollTop = top + 2 * ROW - height;
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.seen.indexOf(this.chosen);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 2);
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.seen.length - 1,
    }[event.key];
    if (event.key === "Enter") this.pane.focus();
    else if (to === undefined) return;
    else this.choose(this.seen[Math.max(0, Math.min(this.seen.length - 1, to))] ?? 0);
    event.preventDefault();
  }

  /** Go to the next line that differs, or to the one before. @param {boolean} back */
  step(back) {
    const rows = this.seen.filter((row) => this.differs(row));
    if (!rows.length) {
      say("No step differs");
      return;
    }
    const next = back ? rows.findLast((row) => row < this.chosen) : rows.find((row) => row > this.chosen);
    const target = next ?? (back ? rows.at(-1) : rows[0]) ?? 0;
    this.choose(target);
    say(`Difference ${rows.indexOf(target) + 1} of ${rows.length}`);
  }

  /** Find out which pairs differ in their texts: those that are seen, and the first few hundred of all. */
  async check() {
    if (this.checking || !this.lines) return;
    this.checking = true;
    try {
      for (let wanted = this.unchecked(); wanted.length; wanted = this.unchecked()) {
        const lines = /** @type {Lines} */ (this.lines);
        const pairs = wanted.map((row) => (lines.ids[row] ?? []).join(".")).join(",");
        const answer = await fetch(`${this.base}/texts?${this.traces}&pairs=${pairs}`);
        if (!answer.ok) break;
        const found = /** @type {boolean[]} */ (await answer.json());
        if (this.lines !== lines) continue; // a newer state came meanwhile: its rows stand elsewhere
        found.forEach((differs, place) => {
          const row = wanted[place] ?? -1;
          this.checked.set((lines.ids[row] ?? []).join("."), differs);
          if (differs) lines.state[row] = CHANGED;
        });
        if (!found.some(Boolean)) continue;
        this.arrange();
        const first = lines.state.findIndex((state) => state !== SAME && state !== AWAITED);
        if (this.untouched && first >= 0 && first !== this.chosen) this.choose(first, { keep: true });
      }
    } catch {
      // The server is away: what is known stays, and the next look asks again.
    } finally {
      this.checking = false;
    }
  }

  /** The next pairs to ask for. */
  unchecked() {
    const { lines } = this;
    if (!lines) return [];
    const rows = [...this.host.querySelectorAll(".row")].map((row) => Number(row.id.slice(2)));
    if (this.checked.size < UNASKED) rows.push(...lines.ids.keys());
    const wanted = rows.filter(
      (row) =>
        lines.state[row] === SAME &&
        lines.ids[row]?.every(Boolean) &&
        !this.checked.has((lines.ids[row] ?? []).join(".")) &&
        !this.running(row),
    );
    return [...new Set(wanted)].slice(0, AT_ONCE);
  }
}

/** What a line says of time, tokens and money. @param {Lines} lines @param {number} row */
function figures(lines, row) {
  const [was = -1, is = -1] = lines.took[row] ?? [];
  const runs = lines.statuses[lines.status[row] ?? -1] === "running" && lines.state[row] !== AWAITED;
  const shown = is >= 0 || runs ? is : was;
  const change = make("span", "r by");
  if (was >= 0 && is >= 0) {
    const share = was > 0 ? Math.abs(is - was) / was : 0;
    change.textContent = was === is ? "" : `${is > was ? "+" : "−"}${duration(Math.abs(is - was))}`;
    change.className = `r by ${share >= FAR ? "far" : "near"}`;
  }
  return [
    make("span", "r took", shown >= 0 ? duration(shown) : ""),
    change,
    figure("tokens", lines.tokens[row], count),
    figure("usd", lines.cost[row], cost),
  ];
}

/** @param {string} className @param {[number, number] | undefined} pair @param {(number: number) => string} write */
function figure(className, pair, write) {
  const [was = -1, is = -1] = pair ?? [];
  const cell = make("span", `r ${className}`);
  if (was >= 0 && is >= 0 && was !== is) {
    cell.textContent = `${is > was ? "+" : "−"}${write(Math.abs(is - was))}`;
    cell.title = `${write(was)} before, ${write(is)} now`;
    cell.classList.add("far");
  } else if (was >= 0 || is >= 0) {
    cell.textContent = write(is >= 0 ? is : was);
    cell.classList.add("near");
  }
  return cell;
}

const comparison = new Comparison();

/** @param {string} link */
const follow = (link) => /** @type {HTMLElement | null} */ (document.querySelector(link))?.click();

commands.add([
  { about: "Steps", keys: "↑ ↓", words: "Go to the step above or below" },
  { keys: "Home End", words: "Go to the first or the last step" },
  { keys: "Enter", words: "Go from the steps to the texts" },
  { about: "Differences", keys: "n", words: "Go to the next difference", run: () => comparison.step(false) },
  { keys: "N", words: "Go to the difference before", run: () => comparison.step(true) },
  { keys: "o", words: "Show differences only, or all steps", run: () => comparison.toggle() },
  { about: "Traces", keys: "x", words: "Swap the two", run: () => follow("[data-swap]") },
  { keys: "P", words: "Compare with another trace", run: () => follow("[data-other]") },
]);

void comparison.start();

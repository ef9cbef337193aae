// Search inside a trace: names at once, everything else as the server finds it; matches stay with the steps above them.

import { address, asked, byId, say } from "./dom.js";
import { count } from "./format.js";

/** @typedef {import("./tree.js").Tree} Tree */

const WAIT_MS = 250; // after the last key, before the server is asked
const MOST_MARKS = 400;

export class Search {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.input = /** @type {HTMLInputElement} */ (byId("find"));
    this.words = byId("found");
    this.text = "";
    /** @type {Set<string>} */
    this.ids = new Set();
    /** @type {number[]} */
    this.rows = [];
    this.pending = false;
    this.timer = 0;
    this.round = 0;
    this.input.addEventListener("input", () => this.set(this.input.value));
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.step(event.shiftKey);
      else if (event.key === "Escape") this.leave();
      else return;
      event.preventDefault();
    });
    tree.addEventListener("take", () => this.#apply());
    tree.addEventListener("choose", () => this.#count());
    for (const drawn of ["draw", "read"]) tree.addEventListener(drawn, () => this.#mark());
    tree.pane.element.addEventListener("settled", () => this.#settled());
    const wanted = asked("q");
    if (wanted) {
      this.input.value = wanted;
      this.set(wanted);
    }
  }

  /** Search for something else. `=name` finds steps of exactly that name. @param {string} text */
  set(text) {
    this.text = text.trim();
    this.round += 1;
    this.ids.clear();
    clearTimeout(this.timer);
    address({ q: this.text || null });
    const deep = this.text !== "" && !this.text.startsWith("=");
    this.pending = deep;
    this.#apply();
    this.tree.show();
    if (deep) this.timer = setTimeout(() => void this.#ask(this.round), WAIT_MS);
  }

  /** Give up the search and go back to the tree. */
  leave() {
    this.input.value = "";
    if (this.text) this.set("");
    this.tree.host.focus();
    this.tree.reveal();
  }

  /** Ask the server, part by part, and show what it finds as it comes. @param {number} round */
  async #ask(round) {
    let after = "";
    try {
      while (round === this.round) {
        const query = new URLSearchParams({ q: this.text });
        if (after) query.set("after", after);
        const answer = await fetch(`${this.tree.host.dataset.search}?${query}`, { headers: { "HX-Request": "true" } });
        if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
        const found = /** @type {{ids: string[], after: string | null}} */ (await answer.json());
        if (round !== this.round) return;
        for (const id of found.ids) this.ids.add(id);
        this.pending = found.after !== null;
        this.#apply();
        this.tree.show();
        if (found.after === null) break;
        after = found.after;
      }
    } catch {
      if (round !== this.round) return;
      this.pending = false;
      this.words.textContent = "The search did not come through";
    }
  }

  /** Work out which rows match, and which lie above one. */
  #apply() {
    const tree = this.tree.skeleton;
    if (!tree) return;
    if (!this.text) {
      this.tree.found = null;
      this.rows = [];
      this.#count();
      return;
    }
    const exact = this.text.startsWith("=") ? this.text.slice(1) : null;
    const wanted = this.text.toLowerCase();
    const named = tree.columns.names.map((name) =>
      exact === null ? name.toLowerCase().includes(wanted) : name === exact,
    );
    const found = new Uint8Array(tree.size);
    this.rows = [];
    for (let row = 0; row < tree.size; row++) {
      if (!named[tree.columns.name[row] ?? -1] && !(this.ids.size && this.ids.has(tree.id(row)))) continue;
      found[row] = 2;
      this.rows.push(row);
      for (let above = tree.parent[row] ?? -1; above >= 0 && !found[above]; above = tree.parent[above] ?? -1)
        found[above] = 1;
    }
    this.tree.found = found;
    this.#count();
  }

  /** Go to the next match after the chosen step, or to the one before. @param {boolean} back */
  step(back) {
    const tree = this.tree.skeleton;
    if (!tree || !this.rows.length) {
      if (this.text) say("Nothing found");
      return;
    }
    const at = tree.place.get(this.tree.selected ?? "") ?? -1;
    const next = back ? this.rows.findLast((row) => row < at) : this.rows.find((row) => row > at);
    const target = next ?? (back ? this.rows.at(-1) : this.rows[0]) ?? 0;
    this.tree.choose(tree.id(target), { scroll: true });
    say(this.words.textContent ?? "");
  }

  #count() {
    const tree = this.tree.skeleton;
    const at = tree ? this.rows.indexOf(tree.place.get(this.tree.selected ?? "") ?? -1) : -1;
    const many = count(this.rows.length);
    const more = this.pending ? ", searching…" : "";
    if (!this.text) this.words.textContent = "";
    else if (!this.rows.length) this.words.textContent = this.pending ? "searching…" : "nothing found";
    else this.words.textContent = (at >= 0 ? `${count(at + 1)} of ${many}` : `${many} found`) + more;
  }

  /** The step is there: bring the first place where the text stands into view. */
  #settled() {
    const ranges = this.#mark();
    const first = ranges[0]?.startContainer.parentElement;
    if (!this.text || !first || !this.tree.pane.element.contains(first)) return;
    if (first.closest(".msg.seen")) this.tree.pane.showAll();
    for (let fold = first.closest("details"); fold; fold = fold.parentElement?.closest("details") ?? null)
      fold.open = true;
    first.scrollIntoView({ block: "nearest" });
  }

  /** Mark the text wherever it stands, in the pane and in the rows. @returns {Range[]} those of the pane first */
  #mark() {
    if (!("highlights" in CSS)) return [];
    const wanted = this.text.replace(/^=/, "").toLowerCase();
    if (!wanted) {
      CSS.highlights.delete("found");
      return [];
    }
    /** @type {Range[]} */
    const ranges = [];
    const article = this.tree.pane.element.querySelector("article");
    for (const place of [article, ...document.querySelectorAll("#tree, #transcript")]) {
      if (place) mark(place, wanted, ranges);
    }
    CSS.highlights.set("found", new Highlight(...ranges));
    return ranges;
  }
}

/** @param {Element} place @param {string} wanted @param {Range[]} ranges */
function mark(place, wanted, ranges) {
  const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node && ranges.length < MOST_MARKS; node = texts.nextNode()) {
    if (node.parentElement?.closest("[hidden],svg,.sr")) continue;
    const text = (node.nodeValue ?? "").toLowerCase();
    for (
      let at = text.indexOf(wanted);
      at >= 0 && ranges.length < MOST_MARKS;
      at = text.indexOf(wanted, at + wanted.length)
    ) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, Math.min(at + wanted.length, text.length));
      ranges.push(range);
    }
  }
}

// The trace page: one tree, its readings, and the keys that work anywhere on the page.

import "./shown.js";
import "./split.js";
import { commands } from "./commands.js";
import { address, asked, byId, near, say } from "./dom.js";
import { neighbour, placeInList } from "./journey.js";
import { People } from "./people.js";
import { Search } from "./search.js";
import { Timeline } from "./timeline.js";
import { opensElsewhere, Tree } from "./tree.js";
import { Where } from "./where.js";

const READINGS = ["time", "tree", "transcript", "icicle", "where", "wiring"];
/** The readings with a place of their own; their modules come when they are first read. */
const PANELS = ["transcript", "icicle", "where", "wiring"];

const tree = new Tree();
const search = new Search(tree);
const timeline = new Timeline(tree);
// Whoever reads a shared trace adds nothing to it.
const people = document.getElementById("people") ? new People(tree) : null;
const where = new Where(tree, (name) => {
  read("time");
  search.input.value = `=${name}`;
  search.set(`=${name}`);
  search.step(false);
});

/** Modules of readings that are seldom needed. @type {Record<string, () => Promise<unknown>>} */
const LATER = {
  transcript: async () => new (await import("./transcript.js")).Transcript(tree),
  wiring: async () => new (await import("./wiring.js")).Wiring(tree),
  icicle: async () => new (await import("./icicle.js")).Icicle(tree),
};
/** @type {Set<string>} */
const come = new Set();

/** Show the trace in another way. @param {string} reading */
function read(reading) {
  const wanted = READINGS.includes(reading) ? reading : "time";
  byId("left").dataset.reading = wanted;
  for (const tab of document.querySelectorAll("[data-reading][role=tab]")) {
    const chosen = tab.getAttribute("data-reading") === wanted;
    tab.setAttribute("aria-selected", String(chosen));
    tab.setAttribute("tabindex", chosen ? "0" : "-1");
  }
  for (const panel of PANELS) byId(panel).hidden = wanted !== panel;
  byId("scroll").hidden = PANELS.includes(wanted);
  address({ view: wanted === "time" ? null : wanted });
  where.draw();
  tree.draw();
  if (!PANELS.includes(wanted)) tree.reveal(true);
  const later = LATER[wanted];
  if (!later || come.has(wanted)) return;
  come.add(wanted);
  void later();
}

const here = byId("head").dataset.here ?? "";
byId("place").textContent = placeInList(here);

/** Go to another trace of the list, in the same reading. @param {number} way */
async function travel(way) {
  const next = await neighbour(here, way);
  if (!next) {
    say(way > 0 ? "This is the last trace of the list" : "This is the first trace of the list");
    byId("place").textContent = way > 0 ? "the last of the list" : "the first of the list";
    return;
  }
  const there = new URL(next, location.href);
  const view = asked("view");
  if (view) there.searchParams.set("view", view);
  location.assign(there);
}

/** Go to a comparison, at the chosen step. @param {number} which link of the head */
function compare(which) {
  /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("a[data-compare]"))[which]?.click();
}

document.addEventListener("click", (event) => {
  const link = near(event, "a[data-compare]");
  if (!(link instanceof HTMLAnchorElement) || !tree.selected) return;
  const there = new URL(link.href);
  there.searchParams.set("span", tree.selected);
  link.href = there.href;
});

byId("head").addEventListener("click", (event) => {
  const link = near(event, "a[data-step]");
  if (!link || opensElsewhere(/** @type {MouseEvent} */ (event))) return;
  event.preventDefault();
  tree.goTo(link.dataset.step ?? "");
});

/** @param {string} part of the chosen step */
function press(part) {
  /** @type {HTMLElement | null} */ (document.querySelector(`#step ${part}`))?.click();
}

commands.add([
  { about: "Steps", keys: "↑ ↓", words: "Go to the step above or below" },
  { keys: "← →", words: "Fold or unfold; go to the step around it or the first in it" },
  { keys: "Home End", words: "Go to the first or the last step" },
  { keys: "Enter", words: "Go from the tree to the step's text" },
  { keys: "e", words: "Go to the next error", run: () => tree.error(false) },
  { keys: "E", words: "Go to the error before", run: () => tree.error(true) },
  { about: "Search", keys: "/", words: "Search in this trace", run: () => search.input.select() },
  { keys: "n", words: "Go to the next match", run: () => search.step(false) },
  { keys: "N", words: "Go to the match before", run: () => search.step(true) },
  { about: "Folding", keys: "[", words: "Fold everything", run: () => tree.foldTo(1) },
  { keys: "]", words: "Unfold everything", run: () => tree.foldTo(Infinity) },
  { keys: "1 … 9", words: "Unfold so many levels" },
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => ({
    keys: String(level),
    words: `Unfold ${level === 1 ? "the top level" : `${level} levels`}`,
    run: () => tree.foldTo(level),
    alike: true,
  })),
  { about: "Readings", keys: "t", words: "Read it as a timeline", run: () => read("time") },
  { keys: "T", words: "Read it as a tree", run: () => read("tree") },
  { keys: "r", words: "Read it as a transcript, from the top to the bottom", run: () => read("transcript") },
  { keys: "I", words: "Read it as an icicle: every step as wide as its share", run: () => read("icicle") },
  {
    keys: "b",
    words: "Icicle: size by time, tokens or cost",
    run: () => document.dispatchEvent(new Event("icicle-by")),
  },
  { keys: "w", words: "Where did it go: time, tokens and cost by step", run: () => read("where") },
  {
    keys: "W",
    words: "See the chain's wiring: who calls whom, and what this run did not reach",
    run: () => read("wiring"),
  },
  { about: "Timeline", keys: "c", words: "Mark the critical path", run: () => timeline.togglePath() },
  { keys: "i", words: "Press idle time together", run: () => timeline.togglePress() },
  { keys: "f", words: "Fit the chosen step into the timeline", run: () => timeline.fitChosen() },
  { keys: "+ =", words: "Zoom into the timeline", run: () => timeline.zoom(0.5) },
  { keys: "-", words: "Zoom out of the timeline", run: () => timeline.zoom(2) },
  { keys: "<", words: "Move the timeline back", run: () => timeline.pan(-0.25) },
  { keys: ">", words: "Move the timeline on", run: () => timeline.pan(0.25) },
  { keys: "0", words: "Show the whole timeline", run: () => timeline.show(null) },
  { about: "Traces", keys: "j", words: "Go to the next trace of the list", run: () => void travel(1) },
  { keys: "k", words: "Go to the trace before in the list", run: () => void travel(-1) },
  ...(people
    ? [
        { about: "What people add", keys: "s", words: "Score this step", run: () => people.scoreStep() },
        { keys: "S", words: "Score the whole trace", run: () => people.scoreTrace() },
        { keys: "a", words: "Tag, name or annotate the trace", run: () => people.annotate() },
        { keys: "l", words: "Share the trace by a read-only link", run: () => people.shareTrace() },
        { about: "Compare", keys: "p", words: "Compare with the run of this chain before", run: () => compare(0) },
        { keys: "P", words: "Compare with another trace", run: () => compare(1) },
      ]
    : []),
  {
    about: "Copy",
    keys: "m",
    words: "Copy this step and all below as Markdown",
    run: () => press("[data-copy-url$=markdown]"),
  },
  { keys: "y", words: "Copy the whole output", run: () => press("[data-copy-url$=output]") },
  { keys: "Y", words: "Copy the whole input", run: () => press("[data-copy-url$=input]") },
  { keys: "u", words: "Copy the curl command that fetches this step", run: () => press("[data-curl]") },
  { keys: "U", words: "Copy the Python that fetches this step", run: () => press("[data-python]") },
]);

const tabs = byId("readings");
tabs.addEventListener("click", (event) => {
  const tab = near(event, "[data-reading]");
  if (tab) read(tab.dataset.reading ?? "");
});
tabs.addEventListener("keydown", (event) => {
  const way = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (!way) return;
  event.preventDefault();
  const at = READINGS.indexOf(byId("left").dataset.reading ?? "time");
  read(READINGS[(at + way + READINGS.length) % READINGS.length] ?? "time");
  /** @type {HTMLElement | null} */ (tabs.querySelector("[aria-selected=true]"))?.focus();
});

byId("tree").addEventListener("keydown", (event) => tree.key(event));
byId("whole").addEventListener("click", () => timeline.show(null));
read(asked("view") ?? "time");
tree.start();

// What the listed traces have in common: counts by value beside the list, and a histogram above it that zooms.

import { byId, htmx, near, recall, remember } from "./dom.js";
import { goSoftly } from "./finder.js";

const panel = byId("facets");
const host = byId("histogram");
const button = byId("filters");
const main = byId("main");
const WIDE = 1200;
const narrow = matchMedia("(max-width: 1000px)");
const REST_MS = 10_000; // between two counts that only new traces ask for

let counted = "";
let at = 0;
/** Where there is no room beside the list, the panel is opened for one choice, and that is not remembered. */
let pulled = false;

function open() {
  if (narrow.matches) return pulled;
  return recall("facets") === null ? innerWidth >= WIDE : recall("facets") === "1";
}

function show() {
  const on = open();
  panel.hidden = !on;
  main.classList.toggle("with-facets", on);
  button.setAttribute("aria-pressed", String(on));
}

/** Count again. @param {boolean} [asked] by another search, not by new traces */
export function count(asked = false) {
  const base = panel.dataset.facets;
  if (!base || !document.getElementById("filter")) return;
  const there = new URL(location.href);
  for (const key of ["after", "peek", "upto"]) there.searchParams.delete(key);
  if (!asked && there.search === counted && Date.now() - at < REST_MS) return;
  counted = there.search;
  at = Date.now();
  void htmx.ajax("GET", base + there.search, { source: panel, target: panel, swap: "innerMorph" });
}

/** Open or close the panel. */
export function toggleFacets() {
  if (narrow.matches) pulled = !pulled;
  else remember("facets", open() ? "0" : "1");
  show();
}
button.addEventListener("click", toggleFacets);
narrow.addEventListener("change", show);
panel.addEventListener("click", (event) => {
  if (!pulled || !near(event, "a[data-soft]")) return;
  toggleFacets();
  // The chosen word is hidden with its panel.
  button.focus({ preventScroll: true });
  button.scrollIntoView({ block: "nearest" });
});

/** The histogram, when it is there. */
const bars = () => host.querySelector("svg");

/** Where in the histogram, from 0 to 1. @param {SVGSVGElement} svg @param {PointerEvent} event */
function placeOf(svg, event) {
  const box = svg.getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
}

/** The bar at a place of the histogram. @param {SVGSVGElement} svg @param {number} place */
function barAt(svg, place) {
  for (const one of svg.querySelectorAll(".room")) {
    const from = Number(one.getAttribute("x")) / 1000;
    const to = from + Number(one.getAttribute("width")) / 1000;
    if (place >= from && place <= to) return { from, to };
  }
  return null;
}

let from = -1;
host.addEventListener("pointerdown", (event) => {
  const svg = bars();
  if (!svg || event.button !== 0) return;
  from = placeOf(svg, event);
  svg.setPointerCapture(event.pointerId);
});
host.addEventListener("pointermove", (event) => {
  const svg = bars();
  if (!svg || from < 0) return;
  const to = placeOf(svg, event);
  const drag = svg.querySelector(".drag");
  drag?.setAttribute("x", String(1000 * Math.min(from, to)));
  drag?.setAttribute("width", String(1000 * Math.abs(to - from)));
});
host.addEventListener("pointerup", (event) => {
  const svg = bars();
  if (!svg || from < 0) return;
  const to = placeOf(svg, event);
  let [begin, end] = [Math.min(from, to), Math.max(from, to)];
  from = -1;
  const [left, right] = [barAt(svg, begin), barAt(svg, end)];
  if (end - begin < 0.004 && !left) return; // a click beside the bars
  // Whole bars: nobody can hit the minute at which one begins.
  begin = left ? left.from : begin;
  end = right ? right.to : end;
  const [first, last] = [Number(svg.dataset.from), Number(svg.dataset.to)];
  const there = new URL(svg.dataset.here ?? "", location.href);
  there.searchParams.set("from", new Date(first + begin * (last - first)).toISOString());
  there.searchParams.set("to", new Date(first + end * (last - first)).toISOString());
  goSoftly(there.href);
});

document.addEventListener("list-asked", () => count(true));
show();

// Charts: the server makes the figures, plotly.js draws them, the page gives them its colours. A zoom in one is a zoom in
// all; a click on a point leads to the traces behind it.

import { byId, near, say } from "./dom.js";
import { instant, local, zoneLabel } from "./zone.js";

/**
 * What we use of plotly.js.
 * @typedef {object} Plotly
 * @property {(place: HTMLElement, data: object[], layout: object, config: object) => Promise<Plot>} newPlot
 * @property {(place: HTMLElement, layout: object) => Promise<void>} relayout
 * @property {(place: HTMLElement, data: object[], layout: object, config: object) => Promise<Plot>} react
 * @property {(place: HTMLElement, options: object) => Promise<string>} downloadImage
 *
 * @typedef {HTMLElement & {on: (name: string, run: (event: any) => void) => void}} Plot
 *
 * @typedef {object} Series
 * @property {{colour: number, other: boolean, q: string | null}} meta
 * @property {string} type
 *
 * @typedef {object} Figure
 * @property {string} id
 * @property {(Series & Record<string, any>)[]} data
 * @property {Record<string, any>} layout
 */

const CONFIG = {
  displayModeBar: false, // its toolbar has a button that sends charts elsewhere; ours has what is needed
  displaylogo: false,
  plotlyServerURL: "",
  responsive: true,
  doubleClick: false,
};

const host = byId("charts");
const zoomed = byId("zoomed");
/** @type {Map<string, Figure>} */
const drawn = new Map();
/** The time shown, in Unix milliseconds. @type {[number, number] | null} */
let zoom = null;
let following = false;

const plotly = () => /** @type {Plotly} */ (Reflect.get(window, "Plotly"));

/** A value of the page's style. @param {string} name */
function style(name) {
  // Custom properties hold light-dark(): only a real property tells which of both it is.
  host.style.setProperty("color", `var(${name})`);
  const found = getComputedStyle(host).color;
  host.style.removeProperty("color");
  return found;
}

/** The figure in the page's colours. @param {Figure} figure */
function coloured(figure) {
  const [ink, quiet, line, card] = [style("--ink"), style("--ink-2"), style("--line"), style("--card")];
  const data = figure.data.map((one) => {
    const colour = one.meta.other ? style("--ink-3") : style(`--c${one.meta.colour % 8}`);
    return { ...one, marker: { ...one.marker, color: colour }, line: { ...one.line, color: colour } };
  });
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: quiet, size: 11 } };
  const layout = {
    ...figure.layout,
    autosize: true,
    paper_bgcolor: card,
    plot_bgcolor: card,
    font: { family: getComputedStyle(document.body).fontFamily, color: ink, size: 12 },
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: ink, size: 12 } },
    legend: { ...figure.layout.legend, font: { color: quiet, size: 11 } },
    xaxis: { ...figure.layout.xaxis, ...axis, showgrid: false, ...(zoom ? { range: zoom.map(local) } : {}) },
    yaxis: { ...figure.layout.yaxis, ...axis },
  };
  return { data, layout };
}

/** @param {Figure} figure */
async function draw(figure) {
  const place = byId(`plot-${figure.id}`);
  if (!figure.data.length) {
    place.classList.add("empty");
    place.textContent = place.dataset.empty ?? "";
    return;
  }
  const { data, layout } = coloured(figure);
  const plot = await plotly().newPlot(place, data, layout, CONFIG);
  drawn.set(figure.id, figure);
  plot.on("plotly_click", ({ points, event }) => follow(points[0], event));
  plot.on("plotly_relayout", (changes) => {
    const [from, to] = [changes["xaxis.range[0]"], changes["xaxis.range[1]"]];
    if (from !== undefined && !following) void show([instant(from), instant(to)]);
  });
  plot.on("plotly_doubleclick", () => void show(null));
}

/** Show a part of the time in all charts. @param {[number, number] | null} range in Unix milliseconds */
async function show(range) {
  zoom = range;
  following = true;
  for (const [id, figure] of drawn) {
    await plotly().relayout(byId(`plot-${id}`), {
      "xaxis.range": range ? range.map(local) : figure.layout.xaxis.range,
    });
  }
  following = false;
  zoomed.hidden = !range;
  if (!range) return;
  const [from, to] = range.map((at) => `${new Date(at).toISOString().slice(0, 19)}Z`);
  const [begin, end] = range.map((at) => local(at).slice(0, 16).replace("T", " "));
  const words = `${begin} – ${end} ${zoneLabel}`;
  const said = zoomed.querySelector("span");
  if (said) said.textContent = words;
  say(`Zoomed to ${words}`);
  for (const [name, base] of [
    ["[data-zoom-here]", host.dataset.here],
    ["[data-zoom-traces]", host.dataset.traces],
  ]) {
    const there = new URL(base ?? "", location.href);
    there.searchParams.set("from", from ?? "");
    there.searchParams.set("to", to ?? "");
    zoomed.querySelector(name ?? "")?.setAttribute("href", there.href);
  }
}

/** Go to the traces behind a point. @param {any} point @param {MouseEvent} event */
function follow(point, event) {
  if (!point) return;
  const from = instant(String(point.x));
  const there = new URL(host.dataset.traces ?? "", location.href);
  there.searchParams.set("from", new Date(from).toISOString());
  there.searchParams.set("to", new Date(from + Number(host.dataset.interval)).toISOString());
  if (point.data?.meta?.q) there.searchParams.set("q", point.data.meta.q);
  if (event.ctrlKey || event.metaKey) window.open(there, "_blank", "noopener");
  else location.assign(there);
}

/** Draw everything again in other colours. */
function recolour() {
  for (const [id, figure] of drawn) {
    const { data, layout } = coloured(figure);
    void plotly().react(byId(`plot-${id}`), data, layout, CONFIG);
  }
}

async function start() {
  try {
    const answer = await fetch(host.dataset.figures ?? "", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    for (const figure of /** @type {Figure[]} */ (await answer.json())) await draw(figure);
    host.dataset.drawn = "true";
  } catch (problem) {
    host.classList.add("failed");
    host.textContent = `The charts could not be drawn. ${problem instanceof Error ? problem.message : ""}`;
  }
}

document.addEventListener("click", (event) => {
  const button = near(event, "[data-png]");
  const id = button?.dataset.png;
  if (id && drawn.has(id)) {
    const place = byId(`plot-${id}`);
    const size = { width: place.clientWidth, height: place.clientHeight, scale: 2 };
    void plotly().downloadImage(place, { ...size, format: "png", filename: `stepscope-${id}` });
  }
  if (near(event, "[data-zoom-out]")) void show(null);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && zoom) void show(null);
});
new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
void start();

// The list of traces keeps itself up to date: in place for a reader at its top, behind a note for one who has scrolled.

import { clearChosen, start, toggleRow } from "./chosen.js";
import { toggleDensity } from "./columns.js";
import { commands } from "./commands.js";
import { byId, near } from "./dom.js";
import { count, toggleFacets } from "./facets.js";
import { focusBox } from "./finder.js";
import { journeyOf, keepJourney } from "./journey.js";
import { ask, update } from "./listing.js";
import { closePeek, togglePeek } from "./peek.js";
import { markSaid } from "./said.js";
import "./views.js";

const AT_TOP = 60;

const live = byId("live");
const list = () => byId("list");
const away = () => scrollY > AT_TOP;

const pause = byId("pause");
const paused = () => pause.getAttribute("aria-pressed") === "true";

function changed() {
  if (paused()) return;
  update(away);
  count();
}
live.addEventListener("traces", changed);
live.addEventListener("ready", changed);

function togglePause() {
  const on = !paused();
  pause.setAttribute("aria-pressed", String(on));
  pause.textContent = on ? "Paused: go on" : "Pause";
  if (!on) update(away);
}
pause.addEventListener("click", togglePause);

let empty = document.querySelector(".welcome") !== null;

document.addEventListener("htmx:after:swap", () => {
  const here = list().dataset.here;
  // The page of a server without projects has become the list of its first one.
  if (here && here.split("?")[0] !== location.pathname) history.replaceState(null, "", here);
  if (empty && document.querySelector("#traces tr")) {
    // What was waited for has come: it is what its sender wants to see.
    empty = false;
    togglePeek();
  }
  markSaid();
});
markSaid();

document.addEventListener("click", (event) => {
  if (!near(event, "#newer")) return;
  scrollTo({ top: 0 });
  ask();
});

// Whoever opens a trace from here can go on to the next one there.
addEventListener("pagehide", () => {
  const here = list();
  if (here.querySelector("#traces")) keepJourney(journeyOf(here, here.dataset.here ?? location.pathname));
});

addEventListener(
  "scroll",
  () => {
    if (!away() && document.getElementById("newer")) update(away);
  },
  { passive: true },
);

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]"))
    if (!closePeek()) clearChosen();
});

const choosing = document.getElementById("chosen");
if (choosing) start(() => update(() => false));

commands.add([
  { about: "List", keys: "/", words: "Search the traces", run: focusBox },
  { keys: "p", words: "Look at the trace beside the list", run: togglePeek },
  ...(choosing ? [{ keys: "x", words: "Choose the trace, or choose it no more", run: toggleRow }] : []),
  { keys: "f", words: "Show or hide what the traces have in common", run: toggleFacets },
  { keys: "d", words: "Tight or roomy rows", run: toggleDensity },
  { keys: ".", words: "Pause: let new rows wait, or go on", run: togglePause },
  { keys: "Esc", words: "Close what is open, choose nothing" },
]);

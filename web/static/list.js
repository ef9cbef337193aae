// The list of traces keeps itself up to date: in place for a reader at its top, behind a note for one who has scrolled.

import { byId, htmx, near } from "./dom.js";
import { journeyOf, keepJourney } from "./journey.js";

const AT_TOP = 60;

const live = byId("live");
const list = () => byId("list");

/** Ask for the list as it now is. @param {boolean} hold keep newer rows back and count them */
function refresh(hold) {
  const section = list();
  const address = new URL(section.dataset.here ?? "", location.href);
  if (hold && section.dataset.newest && !section.dataset.after)
    address.searchParams.set("upto", section.dataset.newest);
  void htmx.ajax("GET", address.pathname + address.search, { source: section, target: section, swap: "outerMorph" });
}

const away = () => scrollY > AT_TOP;

live.addEventListener("traces", () => refresh(away()));
live.addEventListener("ready", () => refresh(away()));

document.addEventListener("htmx:after:swap", () => {
  const here = list().dataset.here;
  // The page of a server without projects has become the list of its first one.
  if (here && here !== location.pathname + location.search) history.replaceState(null, "", here);
});

document.addEventListener("click", (event) => {
  if (!near(event, "#newer")) return;
  scrollTo({ top: 0 });
  refresh(false);
});

// Whoever opens a trace from here can go on to the next one there.
addEventListener("pagehide", () => {
  const here = list();
  if (here.querySelector("#traces")) keepJourney(journeyOf(here, here.dataset.here ?? location.pathname));
});

addEventListener(
  "scroll",
  () => {
    if (!away() && document.getElementById("newer")) refresh(false);
  },
  { passive: true },
);

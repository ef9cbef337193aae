// How the list looks: which columns, how tight its rows. Kept in this browser.

import { byId, recall, remember, say } from "./dom.js";

const main = byId("main");
const menu = byId("columns");
const USUAL = ["in", "out", "took", "tokens", "cost"];

/** @returns {Set<string>} */
function wanted() {
  const kept = recall("columns");
  return new Set(kept === null ? USUAL : kept.split(" ").filter(Boolean));
}

function draw() {
  const shown = wanted();
  for (const box of menu.querySelectorAll("input")) {
    box.checked = shown.has(box.value);
    main.classList.toggle(`with-${box.value}`, box.checked);
  }
  main.classList.toggle("roomy", recall("density") === "roomy");
}

/** @returns {string[]} the columns whose boxes are ticked */
const ticked = () => [...menu.querySelectorAll("input")].filter((box) => box.checked).map((box) => box.value);

menu.addEventListener("change", () => {
  remember("columns", ticked().join(" "));
  draw();
});

/** Change between tight and roomy rows. */
export function toggleDensity() {
  const roomy = recall("density") !== "roomy";
  remember("density", roomy ? "roomy" : null);
  draw();
  say(roomy ? "Roomy rows" : "Tight rows");
}

// The page comes with no box ticked: one that is was asked for before this module was there.
if (ticked().length) remember("columns", [...new Set([...wanted(), ...ticked()])].join(" "));
draw();

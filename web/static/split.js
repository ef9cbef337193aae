// The width of the tree's side, which the reader may drag.

import { recall, remember } from "./dom.js";

const grip = document.getElementById("grip");
const panes = grip?.parentElement;

/** @param {number} share per cent of the page for the tree */
function split(share) {
  const held = Math.min(80, Math.max(25, share));
  panes?.style.setProperty("--split", `${held}%`);
  grip?.setAttribute("aria-valuenow", String(Math.round(held)));
  remember("split", String(held));
}

if (grip && panes) {
  const kept = Number(recall("split"));
  if (kept) split(kept);
  grip.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
  });
  grip.addEventListener("pointermove", (event) => {
    if (grip.hasPointerCapture(event.pointerId)) split((event.clientX / panes.clientWidth) * 100);
  });
  grip.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? -2 : event.key === "ArrowRight" ? 2 : 0;
    if (step) split(Number(grip.getAttribute("aria-valuenow") ?? 56) + step);
  });
}

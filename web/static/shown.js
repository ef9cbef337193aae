// Which columns the tree has. Kept in this browser.

import { byId, recall, remember } from "./dom.js";

const left = byId("left");
const boxes = [...byId("shown").querySelectorAll("input")];

function draw() {
  for (const box of boxes) left.classList.toggle(`without-${box.value}`, !box.checked);
}

const without = recall("without")?.split(" ") ?? [];
for (const box of boxes) if (without.includes(box.value)) box.checked = false;
byId("shown").addEventListener("change", () => {
  const hidden = boxes.filter((box) => !box.checked).map((box) => box.value);
  remember("without", hidden.join(" ") || null);
  draw();
});
draw();

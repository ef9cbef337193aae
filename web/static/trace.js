// The trace page: the tree of its steps, and the keys that work anywhere on the page.

import "./split.js";
import { byId, typing } from "./dom.js";
import { Tree } from "./tree.js";

const tree = new Tree();

/** @type {Record<string, () => void>} */
const KEYS = {
  "[": () => tree.foldTo(1),
  "]": () => tree.foldTo(Infinity),
  e: () => tree.error(false),
  E: () => tree.error(true),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const run = event.key >= "1" && event.key <= "9" ? () => tree.foldTo(Number(event.key)) : KEYS[event.key];
  if (!run) return;
  run();
  event.preventDefault();
});

byId("tree").addEventListener("keydown", (event) => tree.key(event));
tree.start();

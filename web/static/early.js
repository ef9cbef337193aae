// Runs before the first paint, so that a page never flashes in the other colours, nor without its tools; keys that are
// pressed before the scripts are there wait for them.
(() => {
  document.documentElement.dataset.script = "on";
  try {
    const wanted = localStorage.getItem("stepscope.theme");
    if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
  } catch {
    // Storage may be switched off: the system's colours serve.
  }

  /** @type {KeyboardEvent[]} */
  const early = [];
  /** @param {KeyboardEvent} event */
  const keep = (event) => {
    if (event.target === document.body && !event.defaultPrevented) early.push(event);
  };
  addEventListener("keydown", keep);
  addEventListener("DOMContentLoaded", () => {
    removeEventListener("keydown", keep);
    for (const event of early)
      (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent("keydown", event));
  });
})();

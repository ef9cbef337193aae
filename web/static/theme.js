// Runs before the first paint, so that a page never flashes in the other colours, nor without its tools.
(() => {
  document.documentElement.dataset.script = "on";
  try {
    const wanted = localStorage.getItem("stepscope.theme");
    if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
  } catch {
    // Storage may be switched off: the system's colours serve.
  }
})();

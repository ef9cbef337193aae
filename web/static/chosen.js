// Rows that were chosen in the list, and what can be done to all of them: tag, score, compare, export, delete.

import { make, near, recall, remember, say } from "./dom.js";

/** @typedef {{tags: string[]}} Chosen */

// Whoever may only read has no such bar.
const bar = document.getElementById("chosen") ?? document.createElement("div");
const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("bulk"));
const { api = "", project: quoted = "", compare = "" } = bar.dataset;
const project = decodeURIComponent(quoted);
/** Chosen traces by id; they stay chosen while the list moves on. @type {Map<string, Chosen>} */
const chosen = new Map();
let last = "";
let again = () => {};

/** @param {() => void} refresh asks for the list again */
export function start(refresh) {
  again = refresh;
}

const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll("#traces .t-pick input")]);

/** @param {HTMLInputElement} box @param {boolean} on */
function set(box, on) {
  const row = box.closest("tr");
  if (!row) return;
  box.checked = on;
  if (on) chosen.set(box.value, { tags: JSON.parse(row.dataset.tags ?? "[]") });
  else chosen.delete(box.value);
}

function draw() {
  for (const box of boxes()) {
    box.checked = chosen.has(box.value);
    box.closest("tr")?.classList.toggle("picked", box.checked);
  }
  const all = /** @type {HTMLInputElement | null} */ (document.getElementById("pick-all"));
  const here = boxes();
  if (all) {
    all.checked = here.length > 0 && here.every((box) => box.checked);
    all.indeterminate = !all.checked && here.some((box) => box.checked);
  }
  bar.hidden = chosen.size === 0;
  const words = `${chosen.size} ${chosen.size === 1 ? "trace" : "traces"} chosen`;
  const said = bar.querySelector("b");
  if (said && said.textContent !== words) said.textContent = words;
  const two = bar.querySelector("[data-do=compare]");
  if (two) two.toggleAttribute("disabled", chosen.size !== 2);
}

/** Choose the row with the focus, or choose it no more. */
export function toggleRow() {
  const box = document.activeElement?.closest("tr")?.querySelector(".t-pick input");
  if (!(box instanceof HTMLInputElement)) return;
  set(box, !box.checked);
  last = box.value;
  draw();
}

export function clearChosen() {
  if (!chosen.size) return false;
  chosen.clear();
  draw();
  return true;
}

document.addEventListener("click", (event) => {
  const box = near(event, ".t-pick input");
  if (!(box instanceof HTMLInputElement) || !(event instanceof MouseEvent)) return;
  const all = boxes();
  if (box.id === "pick-all") for (const one of all) set(one, box.checked);
  else {
    const [from, to] = [all.findIndex((one) => one.value === last), all.indexOf(box)];
    // With Shift everything between the last choice and this one.
    const part = event.shiftKey && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
    for (const one of part) set(one, box.checked);
    last = box.value;
  }
  draw();
});
document.addEventListener("htmx:after:swap", draw);
// What was chosen before this module was there.
const everyone = document.querySelector("#pick-all:checked") !== null;
for (const box of boxes()) if (everyone || box.checked) set(box, true);
draw();

/** Do something to every chosen trace, one after the other. */
/** @param {string} done @param {(id: string, one: Chosen) => Promise<Response>} act @returns {Promise<string>} what failed */
async function each(done, act) {
  let count = 0;
  let problem = "";
  for (const [id, one] of [...chosen]) {
    say(`${count + 1} of ${chosen.size}`);
    const answer = await act(id, one).catch(() => null);
    if (answer?.ok || answer?.status === 404) count += 1;
    else {
      const told = await answer?.json().catch(() => null);
      problem = told?.error?.message ?? "The server did not answer.";
      break;
    }
  }
  say(`${done} ${count}`);
  return problem && `${done} ${count}; then: ${problem}`;
}

const asked = new URLSearchParams({ project });
const JSON_HEADERS = { "content-type": "application/json" };

/** @param {string} id @param {Chosen} one @param {string[]} added */
function tag(id, one, added) {
  const tags = [...new Set([...one.tags, ...added])];
  one.tags = tags;
  return fetch(`${api}/traces/${id}?${asked}`, {
    method: "PATCH",
    headers: JSON_HEADERS,
    body: JSON.stringify({ tags }),
  });
}

/** @param {string} id @param {string} name @param {string} words */
function score(id, name, words) {
  const number = Number(words);
  const value = { yes: true, no: false }[words.toLowerCase()] ?? (Number.isFinite(number) ? number : words);
  const body = JSON.stringify({ trace_id: id, project, name, value, source: "reviewer" });
  return fetch(`${api}/scores`, { method: "POST", headers: JSON_HEADERS, body });
}

/** Download the chosen traces whole, as OpenTelemetry's JSON lines. */
async function save() {
  const parts = [];
  for (const id of chosen.keys()) {
    say(`${parts.length + 1} of ${chosen.size}`);
    const answer = await fetch(`${api}/traces/${id}/export?format=otlp&${asked}`);
    if (answer.ok) parts.push(await answer.blob());
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  link.download = `traces-${parts.length}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Ask for what an action needs.
 * @param {string} title @param {{name: string, label: string, value: string, hint: string}[]} fields
 * @param {string} words of the button @param {(given: Record<string, string>) => Promise<string>} act says what failed
 */
function ask(title, fields, words, act) {
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(make("h2", "", title));
  for (const { name, label, value, hint } of fields) {
    const line = make("label", "", label);
    const input = document.createElement("input");
    Object.assign(input, { name, value, placeholder: hint, required: true, maxLength: 1000, autocomplete: "off" });
    line.append(input);
    form.append(line);
  }
  const refused = make("p", "refused");
  refused.setAttribute("role", "alert");
  const cancel = make("button", "btn", "Cancel");
  cancel.setAttribute("type", "button");
  cancel.addEventListener("click", () => dialog.close());
  const go = make("button", "btn main", words);
  const acts = make("p", "acts");
  acts.append(cancel, go);
  form.append(refused, acts);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.setAttribute("disabled", "");
    const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]));
    const problem = await act(given);
    go.removeAttribute("disabled");
    refused.textContent = problem;
    again();
    if (!problem) dialog.close();
  });
  dialog.setAttribute("aria-label", title);
  dialog.replaceChildren(form);
  dialog.showModal();
  /** @type {HTMLElement | null} */ (form.querySelector("input") ?? cancel)?.focus();
}

const many = () => `${chosen.size} ${chosen.size === 1 ? "trace" : "traces"}`;

/** @type {Record<string, () => void>} */
const ACTIONS = {
  tag: () =>
    ask(
      `Tag ${many()}`,
      [{ name: "tags", label: "Tags, by commas", value: "", hint: "golden" }],
      "Tag",
      ({ tags = "" }) => {
        const added = tags
          .split(",")
          .map((one) => one.trim())
          .filter(Boolean);
        return each("Tagged", (id, one) => tag(id, one, added));
      },
    ),
  score: () =>
    ask(
      `Score ${many()}`,
      [
        { name: "name", label: "Name", value: recall("score.name") ?? "", hint: "helpful" },
        { name: "value", label: "Value", value: "", hint: "yes, no, a number or a word" },
      ],
      "Score",
      ({ name = "", value = "" }) => {
        remember("score.name", name);
        return each("Scored", (id) => score(id, name, value));
      },
    ),
  compare: () => {
    const [one, other] = [...chosen.keys()];
    const there = new URL(compare, location.href);
    there.searchParams.set("a", one ?? "");
    there.searchParams.set("b", other ?? "");
    location.assign(there);
  },
  export: () => void save(),
  delete: () =>
    ask(`Delete ${many()} for good?`, [], "Delete", async () => {
      const problem = await each("Deleted", (id) => fetch(`${api}/traces/${id}?${asked}`, { method: "DELETE" }));
      if (!problem) clearChosen();
      return problem;
    }),
  clear: () => void clearChosen(),
};

bar.addEventListener("click", (event) => {
  const button = near(event, "[data-do]");
  if (button && chosen.size) ACTIONS[button.dataset.do ?? ""]?.();
});

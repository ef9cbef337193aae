// What people add to a trace: scores of steps and of the whole, tags, a name, a note. Said in dialogs, by keyboard.

import { byId, near, recall, remember, say } from "./dom.js";

/** @typedef {import("./tree.js").Tree} Tree */

const YES = new Map([
  ["yes", true],
  ["true", true],
  ["no", false],
  ["false", false],
]);

export class People {
  /** @param {Tree} tree */
  constructor(tree) {
    this.tree = tree;
    this.place = byId("people");
    this.score = /** @type {HTMLDialogElement} */ (byId("score"));
    this.note = /** @type {HTMLDialogElement} */ (byId("note"));
    /** @type {string | null} */
    this.span = null;
    for (const [dialog, send] of /** @type {[HTMLDialogElement, () => Promise<void>][]} */ ([
      [this.score, () => this.#sendScore()],
      [this.note, () => this.#sendNote()],
    ])) {
      dialog.addEventListener("click", (event) => {
        if (event.target === dialog || near(event, "[data-close]")) dialog.close();
      });
      form(dialog).addEventListener("submit", (event) => {
        event.preventDefault();
        void send();
      });
      form(dialog).addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form(dialog).requestSubmit();
      });
    }
    this.score.addEventListener("click", (event) => {
      const value = near(event, "[data-value]")?.dataset.value;
      if (value === undefined) return;
      field(this.score, "value").value = value;
      field(this.score, "comment").focus();
    });
    document.addEventListener("click", (event) => {
      const button = near(event, "[data-drop-score]");
      if (button) void this.#drop(button);
    });
  }

  /** Ask for a score of the chosen step. */
  scoreStep() {
    const row = this.tree.skeleton?.place.get(this.tree.selected ?? "");
    if (row === undefined || !this.tree.skeleton) return;
    this.#ask(this.tree.selected, this.tree.skeleton.name(row));
  }

  /** Ask for a score of the trace. */
  scoreTrace() {
    this.#ask(null, `the whole of ${byId("head").dataset.name ?? "the trace"}`);
  }

  /** Ask for tags, a name and a note. */
  annotate() {
    const head = byId("head");
    problem(this.note, "");
    field(this.note, "tags").value = head.dataset.tags ?? "";
    field(this.note, "note").value = head.dataset.note ?? "";
    field(this.note, "name").value = head.dataset.ownName ?? "";
    this.note.showModal();
    field(this.note, "tags").focus();
  }

  /** @param {string | null} span @param {string} words */
  #ask(span, words) {
    this.span = span;
    const of = this.score.querySelector("[data-of]");
    if (of) of.textContent = words;
    problem(this.score, "");
    form(this.score).reset();
    field(this.score, "name").value = recall("score.name") ?? "";
    this.score.showModal();
    field(this.score, field(this.score, "name").value ? "value" : "name").focus();
  }

  async #sendScore() {
    const name = field(this.score, "name").value.trim();
    const words = field(this.score, "value").value.trim();
    const number = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(words) ? Number(words) : Number.NaN;
    const value = YES.get(words.toLowerCase()) ?? (Number.isFinite(number) ? number : words);
    const comment = field(this.score, "comment").value.trim() || null;
    const { trace, project } = this.place.dataset;
    const given = { trace_id: trace, span_id: this.span, project, name, value, comment, source: "reviewer" };
    if (!(await send(this.score, this.place.dataset.scores ?? "", "POST", given))) return;
    remember("score.name", name);
    say(`Scored ${name}`);
    this.tree.pane.again();
  }

  async #sendNote() {
    const tags = field(this.note, "tags").value;
    /** @type {Record<string, unknown>} */
    const given = { name: field(this.note, "name").value, note: field(this.note, "note").value };
    // Left alone as long as nobody changed them: a tag may have a comma in it.
    if (tags !== byId("head").dataset.tags)
      given.tags = tags
        .split(",")
        .map((tag) => tag.trim())
        .filter(Boolean);
    const place = `${this.place.dataset.annotate}?${new URLSearchParams({ project: this.place.dataset.project ?? "" })}`;
    if (!(await send(this.note, place, "PATCH", given))) return;
    say("Kept");
    this.tree.readHead();
  }

  /** @param {HTMLElement} button */
  async #drop(button) {
    const project = new URLSearchParams({ project: button.dataset.project ?? "" });
    const place = `${this.place.dataset.scores}/${encodeURIComponent(button.dataset.dropScore ?? "")}?${project}`;
    const answer = await fetch(place, { method: "DELETE" }).catch(() => null);
    if (answer?.ok || answer?.status === 404) {
      say("The score is gone");
      this.tree.pane.again();
    } else say("The score could not be taken away");
  }
}

/** Send it and close; a refusal is said in the dialog, at the field that it is about. */
/** @param {HTMLDialogElement} dialog @param {string} place @param {string} method @param {object} given */
async function send(dialog, place, method, given) {
  problem(dialog, "");
  const headers = { "content-type": "application/json" };
  const answer = await fetch(place, { method, headers, body: JSON.stringify(given) }).catch(() => null);
  if (answer?.ok) {
    dialog.close();
    return true;
  }
  const told = await answer?.json().catch(() => null);
  problem(dialog, told?.error?.message ?? "The server is away: nothing was kept. Try again in a moment.");
  const named = form(dialog).elements.namedItem(told?.error?.field ?? "");
  if (named instanceof HTMLElement) named.focus();
  return false;
}

/** @param {HTMLDialogElement} dialog @param {string} words */
function problem(dialog, words) {
  const line = /** @type {HTMLElement} */ (dialog.querySelector(".refused"));
  line.textContent = words;
  line.hidden = !words;
}

/** @param {HTMLDialogElement} dialog */
function form(dialog) {
  return /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
}

/** @param {HTMLDialogElement} dialog @param {string} name */
function field(dialog, name) {
  return /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form(dialog).elements.namedItem(name));
}

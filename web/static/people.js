// What people add to a trace: scores of steps and of the whole, tags, a name, a note, links. Said in dialogs, by keyboard.

import { byId, make, near, recall, remember, say } from "./dom.js";
import { zone } from "./zone.js";

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
    this.project = decodeURIComponent(this.place.dataset.project ?? "");
    this.score = /** @type {HTMLDialogElement} */ (byId("score"));
    this.note = /** @type {HTMLDialogElement} */ (byId("note"));
    this.share = /** @type {HTMLDialogElement} */ (byId("share"));
    /** @type {string | null} */
    this.span = null;
    for (const [dialog, send] of /** @type {[HTMLDialogElement, () => Promise<void>][]} */ ([
      [this.score, () => this.#sendScore()],
      [this.note, () => this.#sendNote()],
      [this.share, () => this.#makeLink()],
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
    this.#ask(null, `the whole of ${byId("head").querySelector("h1 bdi")?.textContent ?? "the trace"}`);
  }

  /** Ask for tags, a name and a note. */
  annotate() {
    problem(this.note, "");
    for (const name of ["tags", "name", "note"]) field(this.note, name).value = own(name);
    this.note.showModal();
    field(this.note, "tags").focus();
  }

  /** Make a read-only link, or take one back. */
  shareTrace() {
    problem(this.share, "");
    part(this.share, ".made").hidden = true;
    this.share.showModal();
    void this.#listLinks();
  }

  async #makeLink() {
    const days = Number(field(this.share, "days").value);
    const answer = await ask(this.share, this.place.dataset.shares ?? "", "POST", {
      trace_id: this.place.dataset.trace,
      project: this.project,
      days,
    });
    if (!answer) return;
    field(this.share, "url").value = answer.url;
    part(this.share, "[data-copy]").dataset.copy = answer.url;
    part(this.share, ".made").hidden = false;
    field(this.share, "url").select();
    await this.#listLinks();
  }

  async #listLinks() {
    const place = `${this.place.dataset.shares}?${new URLSearchParams({ trace_id: this.place.dataset.trace ?? "" })}`;
    const answer = await fetch(place).catch(() => null);
    const found = answer?.ok ? await answer.json() : { items: [] };
    const lines = found.items.map((/** @type {{id: number, created_at: string, expires_at: string}} */ link) => {
      const line = make("li", "held", `Made ${day(link.created_at)}, ends ${day(link.expires_at)} `);
      const button = make("button", "btn", "Take back");
      button.setAttribute("type", "button");
      button.addEventListener("click", () => void this.#revoke(link.id));
      line.append(button);
      return line;
    });
    part(this.share, ".links").replaceChildren(...lines);
  }

  /** @param {number} id */
  async #revoke(id) {
    const answer = await fetch(`${this.place.dataset.shares}/${id}`, { method: "DELETE" }).catch(() => null);
    problem(this.share, answer?.ok || answer?.status === 404 ? "" : "The link could not be taken back. Try again.");
    part(this.share, ".made").hidden = true;
    await this.#listLinks();
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
    const { trace } = this.place.dataset;
    const given = {
      trace_id: trace,
      span_id: this.span,
      project: this.project,
      name,
      value,
      comment,
      source: "reviewer",
    };
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
    const place = `${this.place.dataset.annotate}?${new URLSearchParams({ project: this.project })}`;
    if (!(await send(this.note, place, "PATCH", given))) return;
    say("Kept");
    this.tree.readHead();
  }

  /** @param {HTMLElement} button */
  async #drop(button) {
    const project = new URLSearchParams({ project: this.project });
    const place = `${this.place.dataset.scores}/${encodeURIComponent(button.dataset.dropScore ?? "")}?${project}`;
    const answer = await fetch(place, { method: "DELETE" }).catch(() => null);
    if (answer?.ok || answer?.status === 404) {
      say("The score is gone");
      this.tree.pane.again();
    } else say("The score could not be taken away");
  }
}

/** What people said of this trace before. @param {string} name */
function own(name) {
  return document.querySelector(`#head [data-own=${name}]`)?.textContent ?? "";
}

/** Send it and close; a refusal is said in the dialog, at the field that it is about. */
/** @param {HTMLDialogElement} dialog @param {string} place @param {string} method @param {object} given */
async function send(dialog, place, method, given) {
  const told = await ask(dialog, place, method, given);
  if (told) dialog.close();
  return Boolean(told);
}

/** Send it; what is answered, or null when it was refused, which the dialog then says. */
/** @param {HTMLDialogElement} dialog @param {string} place @param {string} method @param {object} given */
async function ask(dialog, place, method, given) {
  problem(dialog, "");
  const headers = { "content-type": "application/json" };
  const answer = await fetch(place, { method, headers, body: JSON.stringify(given) }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) return told;
  problem(dialog, told?.error?.message ?? "The server is away: nothing was kept. Try again in a moment.");
  const named = form(dialog).elements.namedItem(told?.error?.field ?? "");
  if (named instanceof HTMLElement) named.focus();
  return null;
}

/** A date as the reader writes it. @param {string} instant */
function day(instant) {
  return new Date(instant).toLocaleDateString(undefined, {
    day: "numeric",
    month: "short",
    year: "numeric",
    timeZone: zone,
  });
}

/** @param {HTMLDialogElement} dialog @param {string} words */
function problem(dialog, words) {
  const line = part(dialog, ".refused");
  line.textContent = words;
  line.hidden = !words;
}

/** @param {HTMLDialogElement} dialog @param {string} selector */
function part(dialog, selector) {
  return /** @type {HTMLElement} */ (dialog.querySelector(selector));
}

/** @param {HTMLDialogElement} dialog */
function form(dialog) {
  return /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
}

/** @param {HTMLDialogElement} dialog @param {string} name */
function field(dialog, name) {
  return /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form(dialog).elements.namedItem(name));
}

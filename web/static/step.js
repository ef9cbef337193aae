// The right side of the trace page: the chosen step, fetched when it is chosen and again when it changes.

import { below } from "./below.js";
import { htmx, make, near, recall, remember } from "./dom.js";
import { KINDS } from "./rows.js";

/** @typedef {import("./skeleton.js").Skeleton} Skeleton */

const OUTLINE_MS = 90; // after this long without an answer the step's outline stands in for it
const KEYS_MS = 110; // steps passed over faster than this are not fetched

export class StepPane {
  /**
   * @param {HTMLElement} element
   * @param {(id: string) => void} choose called when a link inside leads to another step
   */
  constructor(element, choose) {
    this.element = element;
    this.shown = /** @type {string | null} */ (null);
    this.address = element.querySelector("article") ? this.#addressOf() : "";
    this.asked = 0;
    this.delay = 0;
    this.outline = 0;
    this.tree = /** @type {Skeleton | null} */ (null);
    this.row = 0;
    element.addEventListener("click", (event) => {
      const view = near(event, "[data-view]");
      const link = near(event, "nav.steps a, a[data-step]");
      if (view) this.#keepView(view);
      else if (near(event, "[data-again]")) this.#fetch("innerHTML");
      else if (near(event, "[data-whole]")) this.#fetch("innerHTML", "?whole=true");
      else if (link instanceof HTMLAnchorElement && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        const id = new URL(link.href).searchParams.get("span");
        if (!id || !this.tree) return;
        event.preventDefault();
        choose(id);
      }
    });
    element.addEventListener("toggle", (event) => this.#keepFold(event), { capture: true });
    element.addEventListener("htmx:after:swap", () => this.#settle());
    element.addEventListener("htmx:response:error", () => this.#fail());
    element.addEventListener("htmx:error", () => this.#fail());
    this.#views();
  }

  /**
   * Show another step.
   * @param {string} id
   * @param {string} address
   * @param {Skeleton} tree
   * @param {number} row
   */
  open(id, address, tree, row) {
    this.tree = tree;
    this.row = row;
    this.address = address;
    if (id === this.shown) return;
    this.shown = id;
    clearTimeout(this.delay);
    const now = performance.now();
    const hurry = now - this.asked < KEYS_MS;
    this.asked = now;
    clearTimeout(this.outline);
    this.outline = setTimeout(() => this.#drawOutline(), OUTLINE_MS);
    if (hurry) this.delay = setTimeout(() => this.#fetch("innerHTML"), KEYS_MS);
    else this.#fetch("innerHTML");
  }

  /** Fetch the same step again, keeping its place, folds and selection. @param {Skeleton} tree @param {number} row */
  refresh(tree, row) {
    this.tree = tree;
    this.row = row;
    this.#fetch("innerMorph");
  }

  /** Fetch the same step again: something was said of it. */
  again() {
    this.#fetch("innerMorph");
  }

  /** Keep the links to the steps beside this one up to date. @param {Skeleton} tree @param {number} row */
  neighbours(tree, row) {
    this.tree = tree;
    this.row = row;
    const article = this.element.querySelector("article");
    if (article?.getAttribute("data-span") === tree.id(row)) below(article, tree, row);
    const nav = this.element.querySelector("nav.steps");
    if (!nav) return;
    /** @type {[string, string, string, number][]} */
    const ways = [
      ["prev", "↑", "Previous step", row - 1],
      ["next", "↓", "Next step", row + 1],
    ];
    const links = ways
      .filter(([, , , to]) => to >= 0 && to < tree.size)
      .map(([rel, sign, words, to]) => {
        const link = document.createElement("a");
        link.className = "icon";
        link.rel = rel;
        link.href = `?span=${tree.id(to)}`;
        link.title = words;
        link.append(sign, make("span", "sr", words));
        return link;
      });
    const focused = nav.contains(document.activeElement) ? document.activeElement?.getAttribute("rel") : null;
    nav.replaceChildren(...links);
    if (focused) links.find((link) => link.rel === focused)?.focus();
  }

  /** @param {"innerHTML" | "innerMorph"} swap @param {string} [query] */
  #fetch(swap, query = "") {
    if (!this.address) return;
    void htmx.ajax("GET", this.address + query, { source: this.element, target: this.element, swap });
  }

  /** What is known of the step already, in the place where the rest will be. */
  #drawOutline() {
    if (!this.tree || this.element.querySelector("article")?.getAttribute("data-span") === this.shown) return;
    const kind = this.tree.kind(this.row);
    const [letter, words] = KINDS[kind] ?? ["O", "other step"];
    const badge = make("abbr", `k k-${kind}`, letter);
    badge.title = words;
    const title = make("h2");
    title.append(badge, make("bdi", "", this.tree.name(this.row)));
    const outline = make("article", "step outline");
    outline.setAttribute("aria-busy", "true");
    outline.append(title, make("p", "bone short"), make("p", "bone"), make("p", "bone"), make("p", "bone short"));
    this.element.replaceChildren(outline);
    this.element.scrollTop = 0;
  }

  /** Say that the step could not be fetched, unless an earlier state of it is there to be read. */
  #fail() {
    clearTimeout(this.outline);
    if (this.element.querySelector("article")?.getAttribute("data-span") === this.shown) return;
    const again = make("button", "btn", "Try again");
    again.dataset.again = "";
    this.element.replaceChildren(make("p", "lead", "This step could not be fetched."), again);
  }

  #settle() {
    clearTimeout(this.outline);
    const article = this.element.querySelector("article");
    if (article && article.getAttribute("data-span") !== this.element.dataset.span) {
      this.element.dataset.span = article.getAttribute("data-span") ?? "";
      this.element.scrollTop = 0;
    }
    this.#views();
    if (this.tree) this.neighbours(this.tree, this.row);
    this.element.dispatchEvent(new Event("settled"));
  }

  /** Bring each part to the view, and each fold to the state, that the reader last chose for it. */
  #views() {
    const kind = this.element.querySelector("article")?.getAttribute("data-kind") ?? "";
    for (const part of this.element.querySelectorAll("[data-part]")) {
      const wanted = recall(`view.${kind}.${part.getAttribute("data-part")}`);
      const buttons = [...part.querySelectorAll("[data-view]")];
      if (buttons.some((button) => button.getAttribute("data-view") === wanted)) show(part, wanted ?? "");
    }
    for (const fold of this.element.querySelectorAll("details[data-fold]")) {
      fold.toggleAttribute("open", recall(`fold.${fold.getAttribute("data-fold")}`) === "open");
    }
  }

  /** Show the messages that are left out of what was added. */
  showAll() {
    const part = this.element.querySelector('[data-part="input"]');
    if (part) show(part, "rendered");
  }

  /** @param {HTMLElement} button */
  #keepView(button) {
    const part = button.closest("[data-part]");
    const kind = this.element.querySelector("article")?.getAttribute("data-kind") ?? "";
    if (!part) return;
    show(part, button.dataset.view ?? "");
    remember(`view.${kind}.${part.getAttribute("data-part")}`, button.dataset.view ?? null);
  }

  /** @param {Event} event */
  #keepFold(event) {
    const fold = event.target;
    if (!(fold instanceof HTMLDetailsElement) || !fold.dataset.fold) return;
    remember(`fold.${fold.dataset.fold}`, fold.open ? "open" : null);
  }

  #addressOf() {
    const id = this.element.querySelector("article")?.getAttribute("data-span") ?? "";
    this.element.dataset.span = id;
    return `${document.getElementById("tree")?.dataset.steps ?? ""}${id}`;
  }
}

/** @param {Element} part @param {string} wanted */
function show(part, wanted) {
  part.setAttribute("data-shown", wanted);
  for (const button of part.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.getAttribute("data-view") === wanted));
  }
  for (const view of part.querySelectorAll(".view")) {
    view.toggleAttribute("hidden", !view.classList.contains(`v-${wanted}`));
  }
}

// Every action of a page with its key: run by the key, listed by `?`, found by name with Ctrl+K or ⌘K.

import { make, near, typing } from "./dom.js";

/**
 * @typedef {object} Command
 * @property {string} keys as shown: keys apart by a space do the same, `g→t` is one pressed after the other
 * @property {string} words what it does
 * @property {() => void} [run] none for keys that only make sense where they are pressed
 * @property {boolean} [alike] one of several that the list of keys sums up in another line
 * @property {string} [about] the subject under which it is listed; without one that of the command before it
 */

const THEN = "→";
const TWO = /(?<=.)→(?=.)/; // the arrow alone is a key
const THEN_MS = 1500; // so long the second key of two may take

class Commands {
  constructor() {
    /** @type {Command[]} */
    this.commands = [];
    /** @type {Map<string, Command>} */
    this.byKey = new Map();
    /** The first key of two, as long as the second is waited for. */
    this.first = "";
    this.until = 0;
    this.dialog = document.createElement("dialog");
    this.dialog.id = "commands";
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("click", (event) => {
      const button = near(event, "[data-command]");
      if (button) this.byKey.get(button.dataset.command ?? "")?.run?.();
    });
  }

  /** Add actions, before those that are there. @param {Command[]} commands */
  add(commands) {
    this.commands = [...commands, ...this.commands];
    for (const command of commands) for (const key of command.keys.split(" ")) this.byKey.set(key, command);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (this.dialog.open) this.dialog.close();
      else this.openPalette();
      return;
    }
    if (event.defaultPrevented || this.dialog.open || typing(event)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const two = event.timeStamp < this.until ? this.byKey.get(this.first + THEN + event.key) : undefined;
    this.until = 0;
    const command = two ?? this.byKey.get(event.key);
    if (command?.run) {
      event.preventDefault();
      command.run();
    } else if ([...this.byKey.keys()].some((keys) => keys.startsWith(event.key + THEN))) {
      this.first = event.key;
      this.until = event.timeStamp + THEN_MS;
    }
  }

  /** List all keys. */
  openKeys() {
    const lists = make("div", "keylist");
    /** @type {Map<string, HTMLElement>} */
    const subjects = new Map();
    let subject = "";
    for (const { keys, words, alike, about } of this.commands) {
      subject = about ?? subject;
      if (alike) continue;
      const list = subjects.get(subject) ?? make("dl");
      if (!subjects.has(subject)) {
        const group = make("section");
        group.append(make("h3", "", subject), list);
        lists.append(group);
        subjects.set(subject, list);
      }
      const term = make("dt");
      for (const key of keys.split(" ")) for (const one of key.split(TWO)) term.append(make("kbd", "", one), " ");
      const line = make("div");
      line.append(term, make("dd", "", words));
      list.append(line);
    }
    const close = make("button", "btn", "Close");
    close.addEventListener("click", () => this.dialog.close());
    const head = make("h2", "", "Keys");
    head.append(close);
    this.#show("Keys", head, lists);
    close.focus();
  }

  /** Let the reader find an action by its name. */
  openPalette() {
    const input = document.createElement("input");
    input.type = "text";
    input.placeholder = "What do you want to do?";
    input.setAttribute("aria-label", "Find an action");
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-expanded", "true");
    input.setAttribute("aria-controls", "palette");
    const list = make("ul", "palette");
    list.id = "palette";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Actions");
    const able = this.commands.filter((command) => command.run);
    let at = 0;
    /** @type {Command[]} */
    let shown = able;
    const draw = () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = able.filter(({ words }) => wanted.every((word) => words.toLowerCase().includes(word)));
      at = Math.max(0, Math.min(at, shown.length - 1));
      list.replaceChildren(
        ...shown.map(({ keys, words }, place) => {
          const item = make("li", "", words);
          item.id = `palette-${place}`;
          item.setAttribute("role", "option");
          item.setAttribute("aria-selected", String(place === at));
          item.append(make("kbd", "", keys.split(" ")[0]?.replace(THEN, " ") ?? ""));
          return item;
        }),
      );
      if (!shown.length) list.append(make("li", "faint", "No action has these words."));
      input.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    /** @param {number} place */
    const take = (place) => {
      this.dialog.close();
      shown[place]?.run?.();
    };
    input.addEventListener("input", () => {
      at = 0;
      draw();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") at += 1;
      else if (event.key === "ArrowUp") at -= 1;
      else if (event.key === "Enter") return take(at);
      else return;
      event.preventDefault();
      draw();
    });
    list.addEventListener("click", (event) => {
      const item = near(event, "li");
      if (item?.id) take(Number(item.id.slice("palette-".length)));
    });
    draw();
    this.#show("Actions", input, list);
    input.focus();
  }

  /** @param {string} name @param {...Node} content */
  #show(name, ...content) {
    this.dialog.setAttribute("aria-label", name);
    this.dialog.replaceChildren(...content);
    this.dialog.showModal();
  }
}

export const commands = new Commands();

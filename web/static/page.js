// What every page has: the stream of changes, colours, copying, and clocks that go on.

import { commands } from "./commands.js";
import { byId, htmx, near, recall, remember, say, serverNow } from "./dom.js";
import { ago, duration } from "./format.js";
import { startSwitch } from "./zone.js";

/* The stream. hx-sse connects when `connect` is fired, reconnects by itself once it has been connected, and lets go
   of the connection while the tab is hidden; a tab that opens hidden connects when it is first looked at. */

const live = document.getElementById("live");
const RETRY_MS = 2000;

/** @param {"off" | "on" | "lost"} state */
function show(state) {
  if (!live) return;
  live.hidden = state === "off";
  live.dataset.state = state;
  const words = live.querySelector("span");
  if (words) words.textContent = state === "lost" ? "Reconnecting…" : "Live";
}

function connect() {
  if (!live) return;
  if (document.hidden) document.addEventListener("visibilitychange", connect, { once: true });
  else htmx.trigger(live, "connect");
}

if (live) {
  // Modules run before htmx looks through the page, which is when hx-sse begins to listen for `connect`.
  document.addEventListener("htmx:after:process", connect, { once: true });
  let connected = false;
  live.addEventListener("htmx:sse:after:connection", () => {
    connected = true;
  });
  live.addEventListener("ready", () => {
    if (live.dataset.state === "lost") byId("problem").replaceChildren();
    show("on");
  });
  live.addEventListener("htmx:sse:error", () => show("lost"));
  live.addEventListener("htmx:finally:request", () => {
    if (connected) return;
    show("lost");
    setTimeout(connect, RETRY_MS);
  });
}

// An answer that came takes the note about one that failed away.
document.addEventListener("htmx:after:swap", (event) => {
  const status = event instanceof CustomEvent ? event.detail?.ctx?.response?.status : 0;
  if (status >= 200 && status < 400) byId("problem").replaceChildren();
});

/* Colours: as the system has them, light, dark. */

const theme = byId("theme");
const THEMES = ["auto", "light", "dark"];
const THEME_WORDS = ["as the system has them", "light", "dark"];

function showTheme() {
  const at = Math.max(0, THEMES.indexOf(recall("theme") ?? "auto"));
  const words = `Colours: ${THEME_WORDS[at]}`;
  theme.title = words;
  theme.setAttribute("aria-label", words);
  if (at) document.documentElement.dataset.theme = THEMES[at];
  else delete document.documentElement.dataset.theme;
}

theme.hidden = false;
theme.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(recall("theme") ?? "auto") + 1) % THEMES.length] ?? "auto";
  remember("theme", next === "auto" ? null : next);
  showTheme();
  say(theme.title);
});
showTheme();

startSwitch(byId("zone"));

/* Copying, dismissing, and menus that close. */

/** @param {HTMLElement} button @param {Promise<string>} text */
async function copy(button, text) {
  try {
    const body = await text;
    await write(body);
    say("Copied");
    flash(button, "copied");
  } catch {
    say("Could not copy");
    flash(button, "failed");
  }
}

/** @param {string} text */
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers give the clipboard to secure pages only; over plain HTTP the old way still works.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("The browser refused.");
}

/** @param {HTMLElement} button @param {string} state */
function flash(button, state) {
  button.dataset.done = state;
  setTimeout(() => {
    delete button.dataset.done;
  }, 1200);
}

/** What a message says, without what the page says about it. @param {Element | null} message */
function said(message) {
  const body = message?.querySelector(".said");
  return body instanceof HTMLElement ? body.innerText.trim() : "";
}

/** @param {string} address */
async function textAt(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return answer.text();
}

document.addEventListener("click", (event) => {
  const button = near(event, "[data-copy],[data-copy-from],[data-copy-url],[data-copy-text],[data-dismiss]");
  if (button) {
    const { copy: text, copyFrom, copyUrl, copyText, dismiss } = button.dataset;
    if (text !== undefined) void copy(button, Promise.resolve(text));
    else if (copyFrom) void copy(button, Promise.resolve(document.querySelector(copyFrom)?.textContent ?? ""));
    else if (copyUrl) void copy(button, textAt(copyUrl));
    else if (copyText) void copy(button, Promise.resolve(said(button.closest(copyText))));
    else if (dismiss) document.querySelector(dismiss)?.replaceChildren();
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    const inside = event.target instanceof Node && menu.contains(event.target);
    if (!inside || near(event, "[data-command], a")) menu.removeAttribute("open");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  }
});

/* Clocks. */

function tickAgo() {
  const now = serverNow();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const words = ago(Number(/** @type {HTMLElement} */ (time).dataset.ago), now);
    if (time.textContent !== words) time.textContent = words;
  }
}

function tickClocks() {
  if (document.hidden) return;
  const now = serverNow();
  for (const clock of document.querySelectorAll(".clock[data-since]")) {
    clock.textContent = duration((now - Number(/** @type {HTMLElement} */ (clock).dataset.since)) * 1e6);
  }
}

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
setInterval(tickAgo, 5000);
setInterval(tickClocks, calm ? 1000 : 250);

/* Keys that every page has. */

/** @param {string} key of a page of the project */
function go(key) {
  /** @type {HTMLElement | null} */ (document.querySelector(`#places [data-go="${key}"]`))?.click();
}

commands.add([
  ...[...document.querySelectorAll("#places [data-go]")].map((link) => {
    const key = /** @type {HTMLElement} */ (link).dataset.go ?? "";
    return { about: "Pages", keys: `g→${key}`, words: `Go to ${link.textContent}`, run: () => go(key) };
  }),
  { about: "Anywhere", keys: "?", words: "List all keys", run: () => commands.openKeys() },
  { keys: "Ctrl+K ⌘K", words: "Find an action by its name", run: () => commands.openPalette() },
]);

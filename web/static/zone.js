// Moments in the zone in which the page was drawn: UTC, or the reader's own. The server knows it by a cookie.

const COOKIE = "stepscope_zone";

export const zone = document.documentElement.dataset.zone ?? "UTC";
export const zoneLabel = document.documentElement.dataset.zoneLabel ?? "UTC";

/** Making one takes a new page tens of milliseconds, and UTC needs none. @type {Intl.DateTimeFormat | undefined} */
let parts;

/** An instant as the zone's clocks show it, without saying which zone. @param {number} millis */
export function local(millis) {
  if (zone === "UTC") return new Date(millis).toISOString().slice(0, -1);
  parts ??= new Intl.DateTimeFormat("sv-SE", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
  });
  return parts.format(millis).replace(" ", "T").replace(",", ".");
}

/** The instant, in Unix milliseconds, at which the zone's clocks show this. @param {string} text */
export function instant(text) {
  const iso = text.replace(" ", "T");
  if (/Z$/.test(iso)) return Date.parse(iso);
  const shown = Date.parse(`${iso.length === 10 ? `${iso}T00:00` : iso}Z`);
  const guess = shown - offset(shown);
  return shown - offset(guess);
}

/** How far ahead of UTC the zone is. @param {number} millis */
function offset(millis) {
  if (zone === "UTC") return 0;
  return Date.parse(`${local(millis)}Z`) - millis;
}

/** The switch: UTC, or the zone of this machine. @param {HTMLElement} button */
export function startSwitch(button) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const isLocal = zone !== "UTC";
  const words = isLocal ? `Local times (${zone}): show UTC` : `UTC: show times of ${own}`;
  button.title = words;
  button.setAttribute("aria-label", words);
  button.addEventListener("click", () => {
    const home = document.querySelector("a.mark");
    const path = home instanceof HTMLAnchorElement ? home.pathname : "/";
    const life = isLocal ? 0 : 365 * 86400;
    // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store is for secure pages only
    document.cookie = `${COOKIE}=${encodeURIComponent(own)}; path=${path}; max-age=${life}; samesite=lax`;
    location.reload();
  });
}

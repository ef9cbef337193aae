// The list that the reader came from, so that the trace page can go on to its next and previous trace.

/**
 * @typedef {object} Journey
 * @property {string} list the list's own address
 * @property {string[]} traces addresses of its traces, in its order
 * @property {string | null} next where the list goes on
 */

const KEY = "stepscope.journey";

/** A trace's place in a list, whatever is searched for in it. @param {Journey} journey @param {string} here */
const placeOf = (journey, here) => journey.traces.findIndex((address) => address.split("?")[0] === here);

/** What a page of the list holds. @param {ParentNode} page @param {string} list @returns {Journey} */
export function journeyOf(page, list) {
  const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (page.querySelectorAll("#traces th a"));
  const next = page.querySelector("nav.pages a[rel=next]");
  return {
    list,
    traces: [...links].map((link) => link.getAttribute("href") ?? ""),
    next: next?.getAttribute("href") ?? null,
  };
}

/** @param {Journey} journey */
export function keepJourney(journey) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(journey));
  } catch {
    // Storage may be switched off: then the list itself is the way to the next trace.
  }
}

/** @returns {Journey | null} */
function recallJourney() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} address @param {string} base */
async function read(address, base) {
  const answer = await fetch(address);
  if (!answer.ok) return null;
  return journeyOf(new DOMParser().parseFromString(await answer.text(), "text/html"), base);
}

/**
 * The trace before or after one, in the list that the reader came from, else in the newest of its project.
 * @param {string} here the trace's own path
 * @param {number} way 1 for the next, -1 for the one before
 * @returns {Promise<string | null>} its address
 */
export async function neighbour(here, way) {
  let journey = recallJourney();
  if (!journey || placeOf(journey, here) < 0) {
    const list = here.replace(/\/[^/]*$/, "");
    journey = await read(list, list);
    if (!journey || placeOf(journey, here) < 0) return null;
    keepJourney(journey);
  }
  const at = placeOf(journey, here) + way;
  if (at >= journey.traces.length && journey.next) {
    const more = await read(journey.next, journey.list);
    if (more) {
      journey.traces.push(...more.traces.filter((address) => !journey?.traces.includes(address)));
      journey.next = more.next;
      keepJourney(journey);
    }
  }
  return journey.traces[at] ?? null;
}

/** Where a trace stands in the list that the reader came from: `3 of 50`. @param {string} here */
export function placeInList(here) {
  const journey = recallJourney();
  const at = journey ? placeOf(journey, here) : -1;
  return journey && at >= 0 ? `${at + 1} of ${journey.traces.length}${journey.next ? "+" : ""}` : "";
}

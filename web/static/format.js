// How people read numbers: the same words as tracer/units.py and tracer/pages/words.py, which a test compares.

import { local } from "./zone.js";

/**
 * @param {number} number a whole number
 * @returns {string} with a comma every three digits
 */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * @param {number} length nanoseconds
 * @returns {string} `840 µs`, `35 ms`, `1.24 s`, `3 min 07 s`, `2 h 05 min`
 */
export function duration(length) {
  const nanos = Math.max(0, Math.trunc(length));
  if (nanos < 1e3) return `${nanos} ns`;
  const micros = Math.floor((nanos + 500) / 1e3);
  if (micros < 1e3) return `${micros} µs`;
  const millis = Math.floor((nanos + 5e5) / 1e6);
  if (millis < 1e3) return `${millis} ms`;
  const centis = Math.floor((nanos + 5e6) / 1e7);
  if (centis < 6e3) return `${Math.floor(centis / 100)}.${two(centis % 100)} s`;
  const seconds = Math.floor((nanos + 5e8) / 1e9);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.floor((seconds + 30) / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/**
 * @param {number} cost billionths of a dollar
 * @returns {string} `$0`, `$0.000764`, `$0.0024`, `$1.25`
 */
export function cost(cost) {
  if (cost === 0) return "$0";
  const sign = cost < 0 ? "-" : "";
  const size = Math.abs(cost);
  if (size < 1e3) return `${sign}<$0.000001`;
  if (size < 1e6) return `${sign}$${(size / 1e9).toFixed(6)}`;
  if (size < 1e9) return `${sign}$${(size / 1e9).toFixed(4)}`;
  const [whole = "", cents = ""] = (size / 1e9).toFixed(2).split(".");
  return `${sign}$${count(Number(whole))}.${cents}`;
}

/**
 * @param {number} then Unix milliseconds
 * @param {number} now Unix milliseconds
 * @returns {string} `just now`, `12 s ago`, `4 min ago`, `3 h ago`, `2 d ago`, else the date in the page's zone
 */
export function ago(then, now) {
  const age = now - then;
  if (age < -60e3 || age >= 7 * 86400e3) return local(then).slice(0, 10);
  if (age < 2e3) return "just now";
  if (age < 60e3) return `${Math.floor(age / 1e3)} s ago`;
  if (age < 3600e3) return `${Math.floor(age / 60e3)} min ago`;
  if (age < 86400e3) return `${Math.floor(age / 3600e3)} h ago`;
  return `${Math.floor(age / 86400e3)} d ago`;
}

/** @param {number} number */
function two(number) {
  return String(number).padStart(2, "0");
}

// From time to a place on the lane: the whole trace, or a window of it, with idle time as it was or pressed together.
// Without a window every place is the same as tracer/pages/tree_rows.py makes it.

export const WHOLE = 10000; // places are hundredths of a percent
export const NARROWEST = 60; // a bar's least width, so that it can be seen
const PRESSED = 0.03; // what an idle gap keeps of the lane, as a share of the busy time

/** @typedef {{from: number, to: number}} Span a stretch of time, in microseconds from the trace's first instant */

export class Lane {
  /**
   * @param {number} total the trace's length in microseconds
   * @param {Span | null} [window] what of it is seen; null for all
   * @param {Span[]} [gaps] idle stretches to press together, in order
   */
  constructor(total, window = null, gaps = []) {
    this.total = total;
    this.gaps = gaps;
    this.plain = !window && !gaps.length;
    const idle = gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0);
    this.pressed = gaps.length ? Math.max(1, (total - idle) * PRESSED) : 0;
    this.from = window ? window.from : 0;
    this.to = window ? window.to : total;
    this.begin = this.press(this.from);
    this.length = Math.max(1e-9, this.press(this.to) - this.begin);
  }

  /** Real time to pressed time. @param {number} at */
  press(at) {
    let taken = 0;
    for (const gap of this.gaps) {
      if (at <= gap.from) break;
      const long = gap.to - gap.from;
      const share = Math.min(1, (at - gap.from) / long);
      taken += (long - Math.min(long, this.pressed)) * share;
    }
    return at - taken;
  }

  /** Pressed time to real time. @param {number} at */
  release(at) {
    let rest = at;
    for (const gap of this.gaps) {
      if (rest <= gap.from) return rest;
      const long = gap.to - gap.from;
      const kept = Math.min(long, this.pressed);
      if (rest <= gap.from + kept) return gap.from + ((rest - gap.from) / kept) * long;
      rest += long - kept;
    }
    return rest;
  }

  /** Where an instant lies, in hundredths of a percent; outside the window it is below 0 or above WHOLE. */
  /** @param {number} at microseconds */
  place(at) {
    if (this.plain) return this.total > 0 ? Math.trunc((at / this.total) * WHOLE) : 0;
    return Math.round(((this.press(at) - this.begin) / this.length) * WHOLE);
  }

  /** The instant at a place of the lane. @param {number} share from 0 to 1 */
  instant(share) {
    if (this.plain) return this.total * share;
    return this.release(this.begin + this.length * share);
  }

  /**
   * A bar from one instant for some time, cut to the window; null when none of it is in there.
   * @param {number} start
   * @param {number} length
   * @returns {{x: number, width: number} | null}
   */
  bar(start, length) {
    const begin = this.place(start);
    const end = this.plain && this.total <= 0 ? WHOLE : this.place(start + length);
    if (end < 0 || begin > WHOLE) return null;
    const left = Math.max(0, begin);
    const width = Math.min(WHOLE, Math.max(NARROWEST, Math.min(WHOLE, end) - left));
    return { x: Math.min(left, WHOLE - width), width };
  }
}

/** @param {number} hundredths */
export function percent(hundredths) {
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}%`;
}

// The words that were searched for are marked wherever they stand in the list and in the panel beside it.

const MOST = 600; // marks on one page

/** @typedef {{ text: string, beginning: boolean }} Said */

/** Letters without case and accents, one for each of the text's, so that places stay the same. @param {string} text */
function folded(text) {
  let found = "";
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at);
    const plain = letter < "\u0080" ? letter : letter.normalize("NFKD").charAt(0);
    const small = plain.toLowerCase();
    found += small.length === 1 ? small : letter;
  }
  return found;
}

const LETTER = /[\p{L}\p{N}]/u;
const UPPER = /\p{Lu}/u;
const RUN = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Thai}]/u;

/** Whether a word may begin or end between two letters, as the index sees it. @param {string} a @param {string} b */
function joint(a, b) {
  if (!LETTER.test(a) || !LETTER.test(b) || RUN.test(a) || RUN.test(b)) return true;
  return UPPER.test(b) && !UPPER.test(a);
}

/** @param {Said} said */
function pattern(said) {
  const words = folded(said.text).match(/[\p{L}\p{N}\p{M}]+/gu) ?? [];
  return words.length ? new RegExp(words.join("[^\\p{L}\\p{N}]+"), "gu") : null;
}

/** @param {Element} place @param {{ wanted: RegExp, beginning: boolean }[]} all @param {Range[]} ranges */
function mark(place, all, ranges) {
  const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node && ranges.length < MOST; node = texts.nextNode()) {
    const text = node.nodeValue ?? "";
    if (!text.trim() || node.parentElement?.closest(".sr,button,svg")) continue;
    const plain = folded(text);
    for (const { wanted, beginning } of all) {
      for (const found of plain.matchAll(wanted)) {
        const end = found.index + found[0].length;
        const begins = joint(text.charAt(found.index - 1), text.charAt(found.index));
        if (!begins || !(beginning || joint(text.charAt(end - 1), text.charAt(end)))) continue;
        const range = new Range();
        range.setStart(node, found.index);
        range.setEnd(node, end);
        ranges.push(range);
      }
    }
  }
}

/** Mark what the list was searched for; nothing where it was not searched for words. */
export function markSaid() {
  if (!("highlights" in CSS)) return;
  const list = document.getElementById("list");
  /** @type {Said[]} */
  const said = JSON.parse(list?.dataset.said ?? "[]");
  /** @type {{ wanted: RegExp, beginning: boolean }[]} */
  const all = [];
  for (const one of said) {
    const wanted = pattern(one);
    if (wanted) all.push({ wanted, beginning: one.beginning });
  }
  /** @type {Range[]} */
  const ranges = [];
  for (const place of all.length ? document.querySelectorAll("#traces td, #traces th, #peek") : [])
    mark(place, all, ranges);
  if (ranges.length) CSS.highlights.set("found", new Highlight(...ranges));
  else CSS.highlights.delete("found");
}

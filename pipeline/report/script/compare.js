/** Two pictures at once: side by side, behind a slider, blended, or their difference; and what they could be compared with. */

import { sheet, valueOf } from "./data.js";
import { decisionOn } from "./decisions.js";
import { $ } from "./dom.js";

/**
 * @typedef {{name: string, tile: number, href: ?string, thumb: number, key: string, sha: string, changes: string[], text: ?string}} Partner
 *   tile: -1 for one of the history
 */

export const WAYS = ["side", "slider", "blend", "difference"];
let marked = -1;

/** @param {number} tile to compare others with */
export function markForCompare(tile) {
  marked = tile;
}

/** @param {number} tile @returns {Partner[]} what it can be compared with, the likeliest first */
export function partnersOf(tile) {
  const earlier = [...(sheet.history[tile] ?? [])].reverse().map((each) => {
    const approved = decisionOn(each.key, each.sha).decision === "approved";
    const what = each.key === sheet.tiles.key[tile] ? `take ${each.take}` : `before: ${each.changes.join(", ") || "another spec"}`;
    return { ...each, name: (approved ? "last approved, " : "") + what, tile: -1, approved };
  });
  const alike = sheet.tiles.key.map((_, other) => other).filter((other) => other !== tile && differences(tile, other).length === 1);
  return [
    ...earlier.filter((each) => each.approved),
    ...(marked >= 0 && marked !== tile ? [other(marked, "marked: " + sheet.tiles.label[marked])] : []),
    ...earlier.filter((each) => !each.approved),
    ...alike.slice(0, 40).map((each) => other(each, differences(tile, each).map((key) => valueOf(key, each)).join(", "))),
  ];
}

/** @param {number} tile @param {string} name @returns {Partner} */
function other(tile, name) {
  const { files, thumb, key, sha } = sheet.tiles;
  const href = files[tile].find((file) => file[1])?.[1] ?? null;
  return { name, tile, href, thumb: thumb[tile], key: key[tile], sha: sha[tile], changes: [], text: sheet.texts[sheet.tiles.text[tile]] };
}

/** @param {number} one @param {number} two @returns {string[]} dimensions in which two tiles differ; two at most are looked for */
function differences(one, two) {
  const found = [];
  for (const each of sheet.dimensions) {
    if (["state", "take", "set", "model"].includes(each.key) || each.of[one] === each.of[two]) continue;
    found.push(each.key);
    if (found.length > 1) break;
  }
  return found;
}

/** @param {string} way @param {number} share 0 to 100: where the slider stands, how much of the second is blended in */
export function showWay(way, share) {
  const stage = $("stage");
  stage.dataset.way = way;
  stage.style.setProperty("--share", `${share}%`);
  stage.style.setProperty("--part", String(share / 100));
  $("share").hidden = way !== "slider" && way !== "blend";
}

/**
 * @param {string} before
 * @param {string} after
 * @returns {[string, "same" | "gone" | "new"][]} two texts word by word: the longest common sequence stays
 */
export function wordsChanged(before, after) {
  const [a, b] = [before, after].map((text) => text.split(/\s+/).filter(Boolean).slice(0, 800));
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  /** @type {[string, "same" | "gone" | "new"][]} */
  const result = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      result.push([a[i], "same"]);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && table[i + 1][j] >= table[i][j + 1])) result.push([a[i++], "gone"]);
    else result.push([b[j++], "new"]);
  }
  return result;
}

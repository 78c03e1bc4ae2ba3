/** Two pictures at once: side by side, behind a slider, blended, or their difference; and what they could be compared with. */

import { originalOf, sheet, standingOf, valueOf } from "./data.js";
import { decisionOn } from "./decisions.js";
import { $, moment } from "./dom.js";

/**
 * @typedef {{name: string, tile: number, href: ?string, thumb: number, key: string, sha: string, changes: string[], text: ?string}} Partner
 *   tile: -1 for one of the history
 * @typedef {import("./data.js").Earlier} Earlier
 */

export const WAYS = ["side", "slider", "blend", "difference"];
let marked = -1;

/** @param {number} tile to compare others with */
export function markForCompare(tile) {
  marked = tile;
}

/** @param {number} tile @returns {Partner[]} what it can be compared with, the likeliest first: other pictures that are there, each once */
export function partnersOf(tile) {
  const { key, sha, label } = sheet.tiles;
  const shown = standingOf(tile);
  const before = [...(sheet.history[tile] ?? [])].reverse()
    .filter((each) => each !== shown && each.sha !== (shown?.sha ?? sha[tile]) && (each.href !== null || each.thumb >= 0))
    .map((each) => ({ ...each, name: nameBefore(tile, each), tile: -1, detail: `take ${each.take}, ${moment(each.made)}` }));
  const isApproved = (/** @type {Earlier} */ each) => decisionOn(each.key, each.sha).decision === "approved";
  const approved = before.filter(isApproved).map((each, at) => ({ ...each, name: `${at ? "" : "last "}approved, ${each.name}` }));
  const alike = key.map((_, tile) => tile).filter((other) => other !== tile && other !== marked && isThere(other) && differences(tile, other).length === 1);
  return distinctly([
    ...approved,
    ...(marked >= 0 && marked !== tile && isThere(marked) ? [other(marked, "marked: " + label[marked])] : []),
    ...before.filter((each) => !isApproved(each)),
    ...alike.slice(0, 40).map((each) => other(each, differences(tile, each).map((key) => valueOf(key, each)).join(", "))),
  ]);
}

/** @param {number} tile @param {Earlier} each of its history @returns {string} */
export function nameBefore(tile, each) {
  return each.key === sheet.tiles.key[tile] ? `take ${each.take}` : `before: ${each.changes.join(", ") || "another spec"}`;
}

/** @param {number} tile @returns {boolean} whether there is a picture to show */
function isThere(tile) {
  return sheet.tiles.thumb[tile] >= 0 || originalOf(tile) !== null;
}

/** @param {number} tile @param {string} name @returns {Partner & {detail: string}} */
function other(tile, name) {
  const { thumb, key, sha, label } = sheet.tiles;
  return {
    name, tile, href: originalOf(tile), thumb: thumb[tile], key: key[tile], sha: sha[tile], changes: [],
    text: sheet.texts[sheet.tiles.text[tile]], detail: label[tile],
  };
}

/** @param {(Partner & {detail: string})[]} partners @returns {Partner[]} the same, no two of one name: with what tells them apart, else numbered */
function distinctly(partners) {
  const named = partners.map(({ name }) => name);
  const told = partners.map(({ name, detail }) => (named.indexOf(name) === named.lastIndexOf(name) ? name : `${name} (${detail})`));
  return partners.map((each, at) => {
    const before = told.slice(0, at).filter((name) => name === told[at]).length;
    return { ...each, name: before ? `${told[at]} ${before + 1}` : told[at] };
  });
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

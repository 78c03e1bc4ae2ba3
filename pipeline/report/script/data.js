/** The sheet's data: what `pipeline/report/data.py` wrote, and where a thumbnail is found. */

import { $ } from "./dom.js";

/**
 * @typedef {{key: string, name: string, values: string[], titles?: string[], of: number[]}} Dimension
 * @typedef {{name: string, source: string, digest: string, role: ?string, thumb: number}} Reference
 * @typedef {[string, ?string, number, string]} File format, address, bytes, state
 * @typedef {{take: number, key: string, sha: string, href: ?string, thumb: number, made: number, changes: string[],
 *   text: ?string, provider: ?string}} Earlier
 * @typedef {{sha: string, decision: string, stars: number, note: string, who: string, when: string, times?: Object<string, string>}} Kept
 * @typedef {{label: string[], text: number[], reason: number[], slots: number[], key: string[], sha: string[], thumb: number[],
 *   width: number[], height: number[], proof: number[], nsfw: number[], usd: number[], seconds: number[], made: number[],
 *   files: File[][]}} Columns
 * @typedef {{campaign: string, manifest: string, made_at: string, commit: ?string, version: string, serial: number,
 *   totals: {name: string, value: string, tone: string}[], bar: [string, number, number][], notice: string, dimensions: Dimension[],
 *   tags: {values: string[], of: number[][]}, texts: string[], reasons: string[], slotsets: number[][],
 *   references: Reference[], tiles: Columns, history: Object<string, Earlier[]>, decisions: Object<string, Kept[]>,
 *   stale: Object<string, string>, blank: Object<string, string>, commands: {retake: string},
 *   thumbs: {count: number, block: number, urls?: string[]}, served: false | {decisions: string, data: string, who: string}}} Sheet
 */

/** @type {Sheet} The sheet that is shown; another one when a run goes on and the page is served. */
export let sheet = JSON.parse($("data").textContent);

/** @param {Sheet} newer */
export function replaceSheet(newer) {
  sheet = newer;
  byKey.clear();
}

/** @type {Map<string, Dimension>} */
const byKey = new Map();

/** @param {string} key @returns {Dimension | undefined} */
export function dimension(key) {
  if (!byKey.size) for (const each of sheet.dimensions) byKey.set(each.key, each);
  return byKey.get(key);
}

/** @param {string} key @param {number} tile @returns {string} a tile's value in a dimension, as people read it; empty for none */
export function valueOf(key, tile) {
  const found = dimension(key);
  return found && found.of[tile] >= 0 ? titleOf(found, found.of[tile]) : "";
}

/** @param {Dimension} of @param {number} value @returns {string} */
function titleOf(of, value) {
  return of.titles?.[value] || of.values[value];
}

/** @param {number} tile @returns {string} its state */
export function stateOf(tile) {
  const states = /** @type {Dimension} */ (dimension("state"));
  return states.values[states.of[tile]];
}

/** @param {number} tile @returns {?string} the address of its large picture */
export function originalOf(tile) {
  return sheet.tiles.files[tile].find((file) => file[1])?.[1] ?? null;
}

/** @param {number} tile @returns {number} width ÷ height */
export function ratioOf(tile) {
  const { width, height } = sheet.tiles;
  return Math.min(6, Math.max(1 / 6, width[tile] / height[tile] || 1));
}

/**
 * @param {number} tile
 * @returns {Earlier | undefined} the earlier picture that is still shown there, because the one that is wanted now is not made yet
 */
export function standingOf(tile) {
  const { thumb, sha } = sheet.tiles;
  if (stateOf(tile) !== "stale" || sha[tile]) return undefined;
  const before = sheet.history[tile] ?? [];
  return before.find((each) => each.thumb >= 0 && each.thumb === thumb[tile]) ?? before.at(-1);
}

/** @param {number} tile @returns {string} what a picture shows, for who can't see it */
export function altOf(tile) {
  const shown = standingOf(tile)?.text; // what is shown was made from that
  const text = (shown ?? sheet.texts[sheet.tiles.text[tile]]).replace(/\s+/g, " ").trim();
  return `${sheet.tiles.label[tile]}: ${text.length > 160 ? text.slice(0, 160).trimEnd() + "…" : text}`;
}

/** @param {number} tile @returns {string} how a picture shows nothing; empty for all others */
export function blankWords(tile) {
  const word = sheet.blank[tile];
  return word === "one colour" ? "all of one colour" : word ? "fully transparent" : "";
}

/** The lines of the blocks of thumbnails that were looked into. @type {Map<number, string[]>} */
const blocks = new Map();
const SOURCE = /<img src="([^"]*)"/;

/**
 * @param {number} thumb
 * @returns {?string} a thumbnail's address; null where there is none, or the page hasn't come so far yet
 */
export function thumbAddress(thumb) {
  if (thumb < 0) return null;
  const { block, urls } = sheet.thumbs;
  if (urls) return urls[thumb] ?? null;
  const number = Math.floor(thumb / block);
  let lines = blocks.get(number);
  if (!lines) {
    const element = $("thumbs-" + number);
    if (!element || (document.readyState === "loading" && !$("thumbs-" + (number + 1)))) return null;
    lines = /** @type {string[]} */ (element.textContent.split("\n"));
    if (blocks.size > 64) blocks.clear(); // the page itself holds them; this only saves splitting again
    blocks.set(number, lines);
  }
  return SOURCE.exec(lines[1 + thumb % block] ?? "")?.[1].replaceAll("&amp;", "&") ?? null;
}

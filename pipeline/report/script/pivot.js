/** Which tiles stand together: bands, rows and columns made of the dimensions that were chosen. */

import { dimension, sheet } from "./data.js";

/**
 * @typedef {{bands: string, down: string, across: string}} Axes keys of dimensions; empty for none
 * @typedef {{value: number, columns: number[][]}} Line a value of `down`, and its tiles in each column
 * @typedef {{value: number, lines: Line[]}} Band
 * @typedef {{bands: Band[], columns: number[]}} Pivot columns: the values of `across` that occur; one, -1, without it
 */

const SORTED = ["product", "prompt", "vary", "ratio", "variant", "resolution", "provider"];

/** @returns {string[]} keys of the dimensions that an axis can be made of */
export function axisKeys() {
  return sheet.dimensions.filter((each) => each.key !== "state" && each.values.length > 1).map((each) => each.key);
}

/** @returns {Axes} what suits this sheet: products, then prompts, as long as several pictures stand together */
export function usualAxes() {
  const total = sheet.tiles.label.length;
  let each = total;
  const chosen = [];
  for (const key of ["product", "prompt"]) {
    const values = dimension(key)?.values.length ?? 1;
    if (values > 1 && each / values >= 3) {
      chosen.push(key);
      each /= values;
    }
  }
  return { bands: chosen[0] ?? "", down: chosen[1] ?? "", across: "" };
}

/** @param {number[]} tiles @param {Axes} axes @returns {Pivot} */
export function arrange(tiles, axes) {
  const [bands, down, across] = [axes.bands, axes.down, axes.across].map((key) => (key ? dimension(key) : undefined));
  const sorted = inOrder(tiles);
  const columns = across ? [...new Set(sorted.map((tile) => across.of[tile]))].sort((a, b) => a - b) : [-1];
  const place = new Map(columns.map((value, at) => [value, at]));
  /** @type {Map<number, Map<number, number[][]>>} */
  const found = new Map();
  for (const tile of sorted) {
    const lines = entry(found, bands ? bands.of[tile] : -1, () => new Map());
    const cells = entry(lines, down ? down.of[tile] : -1, () => columns.map(() => /** @type {number[]} */ ([])));
    cells[place.get(across ? across.of[tile] : -1) ?? 0].push(tile);
  }
  return {
    columns,
    bands: byValue(found).map(([value, lines]) => ({
      value,
      lines: byValue(lines).map(([of, cells]) => ({ value: of, columns: cells })),
    })),
  };
}

/** @template T @param {Map<number, T>} map @param {number} key @param {() => T} fresh @returns {T} */
function entry(map, key, fresh) {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = fresh());
  return value;
}

/** @template T @param {Map<number, T>} map @returns {[number, T][]} */
function byValue(map) {
  return [...map].sort(([a], [b]) => a - b);
}

/** @param {number[]} tiles @returns {number[]} the same, what is alike side by side: scene, then shape, then variant */
function inOrder(tiles) {
  const sorting = SORTED.flatMap((name) => sheet.dimensions.filter((each) => each.key === name || each.key.startsWith(name + ".")));
  const rank = new Float64Array(sheet.tiles.label.length);
  for (const each of sorting) {
    const size = each.values.length + 1;
    for (const tile of tiles) rank[tile] = rank[tile] * size + each.of[tile] + 1;
  }
  return [...tiles].sort((a, b) => rank[a] - rank[b] || a - b);
}

/** On paper: every row that the view shows, as wide as the sheet of paper, no row torn apart. */

import { altOf, sheet, stateOf, thumbAddress, valueOf } from "./data.js";
import { decisionOf } from "./decisions.js";
import { $, make, mark, own } from "./dom.js";
import { layOutWell, LEAST } from "./layout.js";
import { arrange } from "./pivot.js";
import { app } from "./state.js";
import { captionKeys, headingText } from "./tile.js";

const WIDTH = 1000; // of the paper, in units of which everything is a share
const FRAME = { width: WIDTH, height: 150, gap: 10, caption: 30, band: 30, line: 20, gulf: 10, between: 14, beside: 2, least: LEAST };

/** Make the pages: headings, and below each its rows, or one row of cells where something runs across. */
function layOutForPrint() {
  const told = captionKeys();
  const pivot = arrange(app.shown, app.view.axes);
  const layout = layOutWell(pivot, sheet.tiles.label.length, { ...FRAME, gulf: WIDTH }, Infinity); // nothing stands beside each other: rows of paper
  const scale = layout.columns.length ? Math.max(WIDTH, ...layout.columns.map(({ x, width }) => x + width)) : WIDTH;
  const parts = pivot.bands.flatMap((band) => [
    ...heading("h2", "band", app.view.axes.bands, band.value),
    ...band.lines.flatMap((line) => [
      ...heading("h3", "line", app.view.axes.down, line.value),
      ...(layout.columns.length
        ? [across(line.columns.map((tiles, at) => cell(tiles, layout, layout.columns[at], told)), layout, scale)]
        : rowsOf(line.columns[0], layout).map((tiles) => printRow(tiles, layout, scale, told))),
    ]),
  ]);
  $("print").replaceChildren(...columnNames(layout, scale), ...parts);
}

/** @param {string} tag @param {string} level @param {string} key @param {number} value @returns {any[]} */
function heading(tag, level, key, value) {
  return value < 0 && !key ? [] : [make(tag, level, own(headingText(key, value) || "–"))];
}

/** @param {number[]} tiles of one line @param {import("./layout.js").Layout} layout @returns {number[][]} the rows that they fill */
function rowsOf(tiles, layout) {
  /** @type {Map<number, number[]>} */
  const rows = new Map();
  for (const tile of tiles) {
    const row = rows.get(layout.y[tile]);
    if (row) row.push(tile);
    else rows.set(layout.y[tile], [tile]);
  }
  return [...rows.values()];
}

/** @param {number[]} tiles @param {import("./layout.js").Layout} layout @param {number} scale @param {string[]} told */
function printRow(tiles, layout, scale, told) {
  return make("div", "print-row", tiles.map((tile) => {
    const figure = printTile(tile, told);
    figure.style.width = `${100 * layout.w[tile] / scale}%`;
    return figure;
  }));
}

/** What stands in one column of a line: as wide as the column, wrapped. @returns {any} */
function cell(/** @type {number[]} */ tiles, /** @type {import("./layout.js").Layout} */ layout, /** @type {{width: number}} */ column, /** @type {string[]} */ told) {
  return make("div", "print-cell", tiles.map((tile) => {
    const figure = printTile(tile, told);
    figure.style.width = `${Math.min(100, 100 * layout.w[tile] / column.width) - 1.5}%`;
    return figure;
  }));
}

/** @param {any[]} cells @param {import("./layout.js").Layout} layout @param {number} scale @returns {any} the cells, each below its column's name */
function across(cells, layout, scale) {
  let end = 0;
  layout.columns.forEach(({ x, width }, at) => {
    cells[at].style.marginLeft = `${100 * (x - end) / scale}%`;
    cells[at].style.width = `${100 * width / scale}%`;
    end = x + width;
  });
  return make("div", "print-row across", cells);
}

/** @param {import("./layout.js").Layout} layout @param {number} scale @returns {any[]} */
function columnNames(layout, scale) {
  if (!layout.columns.length) return [];
  const names = layout.columns.map(({ value }) => make("span", "", own(value < 0 ? "–" : headingText(app.view.axes.across, value))));
  const row = across(names, layout, scale);
  row.className = "print-row names";
  return [row];
}

/** @param {number} tile @param {string[]} told */
function printTile(tile, told) {
  const { width, height, thumb, reason } = sheet.tiles;
  const state = stateOf(tile);
  const address = thumbAddress(thumb[tile]);
  const figure = make("figure", "print-tile");
  figure.dataset.state = state;
  if (address) {
    const image = make("img");
    image.src = address;
    image.alt = altOf(tile);
    image.style.aspectRatio = `${width[tile]} / ${height[tile]}`;
    figure.append(image);
  } else {
    const blank = make("div", "blank", [make("span", "state", [mark(state), ` ${state}`]), make("span", "reason", own(sheet.reasons[reason[tile]] ?? ""))]);
    blank.style.aspectRatio = `${width[tile]} / ${height[tile]}`;
    figure.append(blank);
  }
  const { decision, all } = decisionOf(tile);
  figure.dataset.decision = decision;
  const values = told.map((key) => valueOf(key, tile)).filter(Boolean);
  const facts = (values.length ? values : [valueOf("variant", tile)]).flatMap((value, at) => [...(at ? [" · "] : []), own(value)]);
  figure.append(make("figcaption", "", [
    make("span", "", facts),
    ...all.map((each) => make("span", "verdict", [...(each.decision ? [mark(each.decision)] : []), ` ${each.decision}`, ...(each.who ? [" by ", own(each.who)] : []), ` ${"★".repeat(each.stars)} `, own(each.note)])),
    ...(state !== "done" && address ? [make("span", "", state)] : []),
  ]));
  return figure;
}

/** Before printing the pages are made, after it they are taken away. */
export function startPrint() {
  addEventListener("beforeprint", layOutForPrint);
  addEventListener("afterprint", () => $("print").replaceChildren());
}

/** On paper: every row that the view shows, as wide as the sheet of paper, no row torn apart. */

import { altOf, sheet, stateOf, thumbAddress, valueOf } from "./data.js";
import { decisionOf } from "./decisions.js";
import { $, make, mark } from "./dom.js";
import { layOutWell } from "./layout.js";
import { arrange } from "./pivot.js";
import { app } from "./state.js";
import { captionKeys, headingText } from "./tile.js";

const WIDTH = 1000; // of the paper, in units of which everything is a share
const FRAME = { width: WIDTH, height: 150, gap: 10, caption: 30, band: 30, line: 20, gulf: 10, between: 14 };

/** Make the pages: headings and rows, in order. */
function layOutForPrint() {
  const told = captionKeys();
  const pivot = arrange(app.shown, app.view.axes);
  const layout = layOutWell(pivot, sheet.tiles.label.length, { ...FRAME, gulf: WIDTH }, 0); // nothing stands beside each other: rows of paper
  const scale = layout.columns.length ? Math.max(WIDTH, ...layout.columns.map(({ x, width }) => x + width)) : WIDTH;
  /** @type {{y: number, make: () => any}[]} */
  const parts = layout.headings.map((heading) => ({
    y: heading.y - 0.5,
    make: () => make(heading.level === "band" ? "h2" : "h3", heading.level, headingText(heading.level === "band" ? app.view.axes.bands : app.view.axes.down, heading.value)),
  }));
  /** @type {Map<number, number[]>} */
  const tops = new Map();
  for (const row of layout.rows) tops.set(row.y, [...(tops.get(row.y) ?? []), ...row.tiles]);
  for (const [y, tiles] of tops) {
    parts.push({ y, make: () => {
      const row = make("div", "print-row", tiles.map((tile) => printTile(tile, told)));
      let end = 0;
      [...row.children].forEach((element, at) => {
        const tile = tiles[at];
        element.style.marginLeft = `${100 * (layout.x[tile] - end) / scale}%`;
        element.style.width = `${100 * layout.w[tile] / scale}%`;
        end = layout.x[tile] + layout.w[tile];
      });
      return row;
    } });
  }
  parts.sort((a, b) => a.y - b.y);
  $("print").replaceChildren(...columnNames(layout, scale), ...parts.map((part) => part.make()));
}

/** @param {import("./layout.js").Layout} layout @param {number} scale @returns {any[]} */
function columnNames(layout, scale) {
  if (!layout.columns.length) return [];
  let end = 0;
  return [make("div", "print-row names", layout.columns.map(({ value, x, width }) => {
    const element = make("span", "", value < 0 ? "–" : headingText(app.view.axes.across, value));
    element.style.marginLeft = `${100 * (x - end) / scale}%`;
    element.style.width = `${100 * width / scale}%`;
    end = x + width;
    return element;
  }))];
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
    const blank = make("div", "blank", [make("span", "state", [mark(state), ` ${state}`]), make("span", "reason", sheet.reasons[reason[tile]] ?? "")]);
    blank.style.aspectRatio = `${width[tile]} / ${height[tile]}`;
    figure.append(blank);
  }
  const { decision, stars, note } = decisionOf(tile);
  const facts = told.map((key) => valueOf(key, tile)).filter(Boolean).join(" · ");
  figure.append(make("figcaption", "", [
    make("span", "", facts || valueOf("variant", tile)),
    ...(decision || stars || note ? [make("span", "verdict", [...(decision ? [mark(decision)] : []), " " + "★".repeat(stars), note ? " " + note : ""])] : []),
    ...(state !== "done" && address ? [make("span", "", state)] : []),
  ]));
  return figure;
}

/** Before printing the pages are made, after it they are taken away. */
export function startPrint() {
  addEventListener("beforeprint", layOutForPrint);
  addEventListener("afterprint", () => $("print").replaceChildren());
}

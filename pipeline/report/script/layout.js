/**
 * Where everything stands, as numbers: true shapes, never cropped. Pictures that stand together fill rows of even
 * height; with columns, a column is as wide as its shapes need. Nothing here knows the page.
 */

import { ratioOf } from "./data.js";

/**
 * @typedef {import("./pivot.js").Pivot} Pivot
 * @typedef {{width: number, height: number, gap: number, caption: number, band: number, line: number, gulf: number, between: number, beside: number, least: number}} Frame
 *   CSS pixels: room, wished height of a picture, between pictures, below each, headings of bands and lines, between blocks, between columns; pictures of one cell side by side at most;
 *   the height below which columns rather go beyond the window
 * @typedef {{level: "band" | "line", value: number, x: number, y: number, width: number, tiles: number}} Heading
 * @typedef {{y: number, height: number, tiles: number[]}} Row pictures of the same top
 * @typedef {{height: number, picture: number, rows: Row[], headings: Heading[], columns: {value: number, x: number, width: number}[], blocks: number[],
 *   x: Float32Array, y: Float32Array, w: Float32Array, h: Float32Array, order: number[]}} Layout
 *   picture: the height of one, about; blocks: from where on the columns stand, once for each block of them side by side
 * @typedef {{width: number, height: number, put: (x: number, y: number) => void}} Block laid out, not placed yet
 */

const SOME = 1000; // pictures, up to which several sizes are tried
const LARGER = [1.9, 1.7, 1.5, 1.4, 1.3, 1.2, 1.1];
const HIGHEST = 900; // CSS pixels, no row is higher than that
export const LEAST = 90; // CSS pixels of a picture's height, below which columns usually rather go beyond the window
const [BAND, LINE] = [220, 120]; // CSS pixels that a heading needs

/**
 * As `layOutAt`, but larger where that fits the window, or fills rows that would be short.
 * @param {Pivot} pivot
 * @param {number} tiles on the whole sheet
 * @param {Frame} frame
 * @param {number} window its height
 * @returns {Layout}
 */
export function layOutWell(pivot, tiles, frame, window) {
  const usual = layOutAt(pivot, tiles, frame);
  if (usual.order.length > SOME) return usual;
  for (const times of LARGER) {
    const tried = layOutAt(pivot, tiles, { ...frame, height: Math.round(frame.height * times) });
    const same = tried.rows.length === usual.rows.length && tried.height <= usual.height * times;
    if (same && (times <= 1.5 || tried.height <= window)) return tried;
  }
  return usual;
}

/** @param {Pivot} pivot @param {number} tiles on the whole sheet @param {Frame} frame @returns {Layout} */
export function layOutAt(pivot, tiles, frame) {
  /** @type {Layout} */
  const layout = {
    height: 0, picture: frame.height, rows: [], headings: [], columns: [], blocks: [], order: [],
    x: new Float32Array(tiles), y: new Float32Array(tiles), w: new Float32Array(tiles), h: new Float32Array(tiles),
  };
  const matrix = pivot.columns.length > 1 || pivot.columns[0] >= 0;
  let inside = frame;
  if (matrix) {
    const { columns, height } = columnsOf(pivot, frame);
    layout.columns = columns;
    layout.picture = height;
    inside = { ...frame, height };
  }
  const banded = pivot.bands.length > 1;
  const bands = pivot.bands.map((band) => {
    const lines = band.lines.map((line) => {
      const body = matrix ? cells(line.columns, layout, inside) : flow(line.columns[0], layout, frame, frame.width);
      return headed(body, "line", line.value, line.columns.flat().length, layout, frame);
    });
    const total = band.lines.reduce((sum, line) => sum + line.columns.flat().length, 0);
    const inner = matrix && banded ? stacked(lines, 10) : shelves(matrix ? alike(lines, LINE, frame) : lines, matrix ? 10 : 18, frame);
    return headed(inner, "band", band.value, total, layout, frame);
  });
  const all = shelves(matrix ? alike(bands, BAND, frame) : bands, 34, frame);
  all.put(0, 0);
  layout.height = all.height;
  layout.rows.sort((a, b) => a.y - b.y || layout.x[a.tiles[0]] - layout.x[b.tiles[0]]);
  layout.headings.sort((a, b) => a.y - b.y);
  layout.order = layout.rows.flatMap((row) => row.tiles);
  return layout;
}

/** Put a heading above a block, where the axis has one. @param {Block} body @param {"band" | "line"} level @returns {Block} */
function headed(body, level, /** @type {number} */ value, /** @type {number} */ tiles, /** @type {Layout} */ layout, /** @type {Frame} */ frame) {
  if (value < 0) return body;
  const high = frame[level];
  const width = Math.max(body.width, Math.min(frame.width, level === "band" ? BAND : LINE));
  return {
    width,
    height: body.height + high,
    put: (x, y) => {
      layout.headings.push({ level, value, x, y, width, tiles });
      body.put(x, y + high);
    },
  };
}

/** Stand narrow blocks side by side, wide ones below each other. @param {Block[]} blocks @returns {Block} */
function shelves(blocks, /** @type {number} */ between, /** @type {Frame} */ frame) {
  /** @type {{x: number, y: number, block: Block}[]} */
  const placed = [];
  let [x, y, high, width] = [0, 0, 0, 0];
  for (const block of blocks) {
    if (x && x + block.width > frame.width + 0.5) [x, y, high] = [0, y + high + between, 0];
    placed.push({ x, y, block });
    width = Math.max(width, x + block.width);
    x += block.width + frame.gulf;
    high = Math.max(high, block.height);
  }
  return {
    width,
    height: y + high,
    put: (left, top) => { for (const each of placed) each.block.put(left + each.x, top + each.y); },
  };
}

/** Blocks below each other: the lines of a table. @param {Block[]} blocks @returns {Block} */
function stacked(blocks, /** @type {number} */ between) {
  return {
    width: Math.max(0, ...blocks.map((block) => block.width)),
    height: blocks.reduce((sum, block) => sum + block.height + between, -between),
    put: (x, y) => {
      for (const block of blocks) {
        block.put(x, y);
        y += block.height + between;
      }
    },
  };
}

/** Blocks of columns, with or without a heading, as wide as each other: the names above the columns then fit all that stand below each other. @param {Block[]} blocks @returns {Block[]} */
function alike(blocks, /** @type {number} */ least, /** @type {Frame} */ frame) {
  return blocks.map((block) => ({ ...block, width: Math.max(block.width, Math.min(frame.width, least)) }));
}

/**
 * @param {Pivot} pivot
 * @param {Frame} frame
 * @returns {{columns: Layout["columns"], height: number}} columns as wide as what stands in them at one height, which is as
 *   near to the wished one as the room allows
 */
function columnsOf(pivot, frame) {
  const wishes = pivot.columns.map((_, at) => {
    let most = 0.35;
    for (const band of pivot.bands) for (const line of band.lines) most = Math.max(most, wishOf(line.columns[at], frame));
    return most;
  });
  const room = frame.width - (wishes.length - 1) * frame.between;
  const widest = pivot.bands.flatMap((band) => band.lines.flatMap((line) => line.columns.flat())).reduce((most, tile) => Math.max(most, ratioOf(tile)), 0.35);
  const least = Math.min(frame.height, frame.least, frame.width / widest); // no picture is wider than the window
  const height = Math.max(least, Math.min(frame.height, room / wishes.reduce((sum, wish) => sum + wish, 0)));
  let x = 0;
  const columns = pivot.columns.map((value, at) => {
    const column = { value, x, width: Math.min(wishes[at] * height, frame.width) };
    x += column.width + frame.between;
    return column;
  });
  return { columns, height };
}

/** @param {number[]} tiles of one cell @param {Frame} frame @returns {number} its width ÷ the height of a picture: about as many side by side as below each other, but few */
function wishOf(tiles, frame) {
  const ratios = tiles.map(ratioOf);
  const beside = Math.min(frame.beside, Math.ceil(Math.sqrt(tiles.length)));
  const usual = beside * ratios.reduce((sum, ratio) => sum + ratio, 0) / (tiles.length || 1);
  return ratios.reduce((most, ratio) => Math.max(most, ratio), usual) + Math.max(0, beside - 1) * frame.gap / frame.height * 1.3;
}

/** One line of a matrix: what belongs in each column flows within its width. @returns {Block} */
function cells(/** @type {number[][]} */ columns, /** @type {Layout} */ layout, /** @type {Frame} */ frame) {
  const blocks = columns.map((tiles, at) => flow(tiles, layout, frame, layout.columns[at].width + 0.5));
  const last = layout.columns[layout.columns.length - 1];
  return {
    width: last.x + last.width,
    height: Math.max(...blocks.map((block) => block.height)),
    put: (x, y) => {
      if (!layout.blocks.includes(x)) layout.blocks.push(x);
      blocks.forEach((block, at) => block.put(x + layout.columns[at].x, y));
    },
  };
}

/** Fill rows of even height. @param {number[]} tiles @param {number} width @returns {Block} */
function flow(tiles, /** @type {Layout} */ layout, /** @type {Frame} */ frame, width) {
  const rows = breakRows(tiles.map(ratioOf), width, frame.height, frame.gap);
  const pitch = frame.caption + frame.gap;
  let wide = 0;
  for (const row of rows) wide = Math.max(wide, row.width);
  return {
    width: wide,
    height: rows.reduce((sum, row) => sum + row.height + pitch, 0) - (rows.length ? frame.gap : 0),
    put: (left, top) => {
      let y = top;
      for (const row of rows) {
        let x = left;
        const inside = tiles.slice(row.first, row.end);
        for (const tile of inside) {
          layout.x[tile] = x;
          layout.y[tile] = y;
          layout.h[tile] = row.height;
          layout.w[tile] = ratioOf(tile) * row.height;
          x += layout.w[tile] + frame.gap;
        }
        layout.rows.push({ y, height: row.height + frame.caption, tiles: inside });
        y += row.height + pitch;
      }
    },
  };
}

/**
 * Break a sequence of shapes into rows that fill the width at heights as near as can be to the wished one: the cheapest of
 * all ways, found from the end of each row backwards. The last row keeps the height of its neighbours and may stay short.
 * @param {number[]} ratios
 * @param {number} width
 * @param {number} wish
 * @param {number} gap
 * @returns {{first: number, end: number, height: number, width: number}[]}
 */
function breakRows(ratios, width, wish, gap) {
  const count = ratios.length;
  const cost = new Float64Array(count + 1).fill(Infinity);
  const from = new Int32Array(count + 1);
  cost[0] = 0;
  for (let end = 1; end <= count; end += 1) {
    let sum = 0;
    for (let first = end - 1; first >= 0; first -= 1) {
      sum += ratios[first];
      const full = (width - (end - first - 1) * gap) / sum;
      if (full < 0.45 * wish && first < end - 1) break;
      const off = Math.log(Math.min(full, 4 * wish) / wish);
      const short = full > wish ? 1 - sum * wish / width : 0;
      const paid = cost[first] + (end === count && full > wish ? Math.min(off * off, 0.12 * short + 0.02) : off * off * (full > 1.6 * wish ? 4 : 1));
      if (paid < cost[end]) [cost[end], from[end]] = [paid, first];
    }
  }
  const rows = [];
  for (let end = count; end > 0; end = from[end]) rows.push({ first: from[end], end, height: 0, width });
  rows.reverse();
  let usual = wish;
  rows.forEach((row, at) => {
    const part = ratios.slice(row.first, row.end);
    const sum = part.reduce((total, ratio) => total + ratio, 0);
    const full = (width - (part.length - 1) * gap) / sum;
    const last = at === rows.length - 1;
    row.height = last ? Math.min(full, full <= 1.12 * usual ? full : usual) : Math.min(full, 1.9 * wish);
    row.width = sum * row.height + (part.length - 1) * gap;
    usual = row.height;
  });
  return rows;
}

/**
 * @param {Layout} layout
 * @param {number} tile
 * @param {"left" | "right" | "up" | "down"} way
 * @returns {number} the tile next to one, or the same where there is none
 */
export function neighbour(layout, tile, way) {
  const { order, rows, x, w } = layout;
  const at = order.indexOf(tile);
  if (at < 0) return order[0] ?? -1;
  if (way === "left" || way === "right") return order[at + (way === "left" ? -1 : 1)] ?? tile;
  const step = way === "up" ? -1 : 1;
  const row = rows.findIndex((each) => each.tiles.includes(tile));
  const own = rows[row];
  // Rows of blocks that stand side by side overlap: only what lies wholly beyond counts, and what is straight ahead first.
  let [best, least] = [tile, Infinity];
  for (let next = row + step; rows[next]; next += step) {
    const { y, height, tiles } = rows[next];
    const away = step > 0 ? y - own.y - own.height : own.y - y - height;
    if (away > least + HIGHEST) break;
    if (away < -0.5) continue;
    for (const each of tiles) {
      const aside = Math.max(0, x[each] - x[tile] - w[tile], x[tile] - x[each] - w[each]);
      const cost = away + (aside && 20 + 0.3 * aside) + Math.abs(x[each] + w[each] / 2 - x[tile] - w[tile] / 2) / 1000;
      if (cost < least) [best, least] = [each, cost];
    }
  }
  return best;
}

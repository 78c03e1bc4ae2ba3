/**
 * The sheet itself. Only what can be seen (and a little more) is in the page: ten tiles or a hundred thousand cost the
 * same. A tile that keys speak of stays in it, so that the focus is never lost.
 */

import { dimension, sheet } from "./data.js";
import { onDecision } from "./decisions.js";
import { $, count, make, own } from "./dom.js";
import { passing } from "./filter.js";
import { layOutAt, layOutWell, LEAST, neighbour } from "./layout.js";
import { arrange } from "./pivot.js";
import { app } from "./state.js";
import { captionKeys, headingText, makeTile, showDecision } from "./tile.js";

const AHEAD = 0.75; // windows of tiles that are drawn above and below

/** @type {Map<number, any>} */
const tiles = new Map();
/** @type {Map<import("./layout.js").Heading, any>} */
const headings = new Map();
/** @type {string[]} */
let told = [];
/** Tile → its place in the order. @type {Map<number, number>} */
let places = new Map();
let room = 0;
let drawn = sheet;

/** @returns {import("./layout.js").Frame} */
function frame(/** @type {number} */ height) {
  const narrow = room < 640;
  return {
    width: room, height, gap: narrow ? 8 : 14, caption: 27,
    band: narrow ? 34 : 40, line: 26, gulf: narrow ? 18 : 34, between: narrow ? 9 : 17, beside: narrow ? 2 : 4,
    least: app.view.height || LEAST, // whoever asks for a height gets it, also where columns then go beyond the window
  };
}

/** Apply the filter: again, for whatever was decided since it was applied last. */
export function applyFilter() {
  app.shown = passing(app.view.filter);
}

/** Another sheet has come in: tiles have moved. What is looked at stays in view, whatever was decided on it. */
function followSheet() {
  const { label } = sheet.tiles;
  const before = drawn.tiles.label;
  const shown = new Set(app.shown.map((tile) => before[tile]));
  app.cursor = label.indexOf(before[app.cursor]);
  app.shown = passing(app.view.filter, (tile) => shown.has(label[tile]));
  drawn = sheet;
}

/** Work out where everything that is shown belongs, and draw it. The tile with the focus stays where it is in the window. */
export function showSheet() {
  const anchor = app.cursor >= 0 && tiles.has(app.cursor) ? app.layout.y[app.cursor] - scrollY : null;
  const focused = $("tiles").contains(document.activeElement);
  const before = drawn === sheet ? app.layout.order : [];
  if (drawn !== sheet) followSheet();
  const pivot = arrange(app.shown, app.view.axes);
  room = measure();
  const usual = frame(usualHeight());
  const layOut = app.view.height ? layOutAt : layOutWell;
  app.layout = layOut(pivot, sheet.tiles.label.length, usual, innerHeight * 0.8);
  places = new Map(app.layout.order.map((tile, at) => [tile, at]));
  told = captionKeys();
  if (!places.has(app.cursor)) { // on to the next that is still shown
    const at = Math.max(0, before.indexOf(app.cursor));
    app.cursor = [...before.slice(at), ...before.slice(0, at).reverse()].find((tile) => places.has(tile)) ?? app.layout.order[0] ?? -1;
  }
  clear();
  $("canvas").style.height = `${Math.ceil(app.layout.height)}px`;
  const last = app.layout.columns.at(-1);
  $("canvas").style.width = last && last.x + last.width > room ? `${Math.ceil(last.x + last.width)}px` : "";
  $("columns").style.minWidth = $("canvas").style.width; // its ground goes as far as what scrolls under it
  $("empty").hidden = app.shown.length > 0;
  drawColumns();
  if (anchor !== null && app.cursor >= 0) scrollTo({ top: app.layout.y[app.cursor] - anchor, behavior: "instant" });
  draw();
  if (focused) focusTile(app.cursor);
}

/** @returns {number} CSS pixels from side to side */
function measure() {
  const style = getComputedStyle($("sheet"));
  return $("sheet").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}

/** @returns {number} the height that was asked for, or what suits the window */
export function usualHeight() {
  if (app.view.height) return app.view.height;
  return Math.round(room < 640 ? room * 0.46 : Math.min(280, room * 0.19)); // two beside each other on a phone
}

function clear() {
  for (const element of [...tiles.values(), ...headings.values()]) element.remove();
  tiles.clear();
  headings.clear();
}

/** Names above the columns, where something runs across. */
function drawColumns() {
  const bar = $("columns");
  const { columns, blocks } = app.layout;
  bar.hidden = columns.length === 0;
  bar.replaceChildren(...blocks.flatMap((left) => columns.map(({ value, x, width }) => {
    const head = make("span", "", own(value < 0 ? "–" : headingText(app.view.axes.across, value)));
    head.title = head.textContent;
    head.style.left = `${left + x}px`;
    head.style.width = `${width}px`;
    return head;
  })));
}

/** Put into the page what can be seen, and take out what can't. */
function draw() {
  const top = scrollY - $("canvas").offsetTop - innerHeight * AHEAD;
  const bottom = top + innerHeight * (1 + 2 * AHEAD);
  const wanted = visible(top, bottom);
  const keep = new Set(wanted);
  for (const [tile, element] of tiles) {
    if (!keep.has(tile)) {
      element.remove();
      tiles.delete(tile);
    }
  }
  const list = $("tiles");
  let next = list.firstElementChild;
  for (const tile of wanted) {
    let element = tiles.get(tile);
    if (!element) {
      element = makeTile(tile, told);
      placeTile(element, tile);
      tiles.set(tile, element);
      list.insertBefore(element, next);
    } else {
      next = element.nextElementSibling;
    }
  }
  drawHeadings(top, bottom);
}

/** @param {number} top @param {number} bottom @returns {number[]} the tiles in between, and the one with the focus, in order */
function visible(top, bottom) {
  const { rows, order, x, w } = app.layout;
  const left = scrollX - innerWidth;
  const right = scrollX + 2 * innerWidth;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].y < top - 900) low = middle + 1; // no row is higher than that
    else high = middle;
  }
  const found = [];
  for (let row = low; row < rows.length && rows[row].y <= bottom; row += 1) {
    if (rows[row].y + rows[row].height < top) continue;
    for (const tile of rows[row].tiles) if (x[tile] <= right && x[tile] + w[tile] >= left) found.push(tile);
  }
  if (app.cursor < 0 || found.includes(app.cursor)) return found;
  const first = app.layout.y[app.cursor] < top;
  return order.length && first ? [app.cursor, ...found] : [...found, app.cursor];
}

/** @param {any} element @param {number} tile */
function placeTile(element, tile) {
  const { x, y, w, h, order } = app.layout;
  element.style.transform = `translate(${x[tile].toFixed(1)}px, ${y[tile].toFixed(1)}px)`;
  element.style.width = `${w[tile].toFixed(1)}px`;
  const picture = element.firstElementChild;
  picture.style.height = `${h[tile].toFixed(1)}px`;
  picture.tabIndex = tile === app.cursor ? 0 : -1;
  element.setAttribute("aria-posinset", String((places.get(tile) ?? 0) + 1));
  element.setAttribute("aria-setsize", String(order.length));
}

/** @param {number} top @param {number} bottom */
function drawHeadings(top, bottom) {
  for (const [heading, element] of headings) {
    if (heading.y < top - 80 || heading.y > bottom) {
      element.remove();
      headings.delete(heading);
    }
  }
  for (const heading of app.layout.headings) {
    if (heading.y > bottom) break;
    if (heading.y < top - 80 || headings.has(heading)) continue;
    const element = makeHeading(heading);
    headings.set(heading, element);
    $("headings").append(element);
  }
}

/** @param {import("./layout.js").Heading} heading */
function makeHeading(heading) {
  const key = heading.level === "band" ? app.view.axes.bands : app.view.axes.down;
  const of = dimension(key);
  const element = make(heading.level === "band" ? "h2" : "h3", heading.level);
  const name = headingText(key, heading.value);
  element.append(make("span", "name", own(name)));
  if (of?.titles && of.titles[heading.value] && of.titles[heading.value] !== of.values[heading.value]) {
    element.append(make("span", "id", own(of.values[heading.value])));
  }
  element.append(make("small", "", String(heading.tiles)));
  element.title = `${of?.name}: ${name}, ${count(heading.tiles, "picture")}`;
  element.style.transform = `translate(${heading.x.toFixed(1)}px, ${heading.y.toFixed(1)}px)`;
  element.style.width = `${heading.width.toFixed(1)}px`;
  return element;
}

/** Thumbnails have come that were not there yet. */
export function redraw() {
  const focused = document.activeElement?.closest(".tile") !== null && document.activeElement !== document.body;
  clear();
  draw();
  if (focused) focusTile(app.cursor);
}

/** @param {number} tile is what keys speak of now @param {{focus?: boolean, scroll?: boolean}} [how] */
export function setCursor(tile, { focus = true, scroll = true } = {}) {
  if (tile < 0) return;
  const before = tiles.get(app.cursor)?.firstElementChild;
  if (before) before.tabIndex = -1;
  app.cursor = tile;
  if (scroll) scrollToTile(tile);
  draw();
  const picture = tiles.get(tile)?.firstElementChild;
  if (picture) picture.tabIndex = 0;
  if (focus) focusTile(tile);
}

/** @param {number} tile */
function focusTile(tile) {
  tiles.get(tile)?.firstElementChild.focus({ preventScroll: true });
}

/** @param {number} tile @returns {any} its place in the page; nothing while it is not drawn */
export function tileElement(tile) {
  return tiles.get(tile);
}

/** @param {number} tile @returns {boolean} whether any of it can be seen */
export function isInView(tile) {
  const box = tiles.get(tile)?.getBoundingClientRect();
  return Boolean(box) && box.bottom > $("bar").offsetHeight && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
}

/** @param {number} tile */
function scrollToTile(tile) {
  const above = $("bar").offsetHeight + 50;
  const top = app.layout.y[tile] + $("canvas").offsetTop;
  const bottom = top + app.layout.h[tile] + 40;
  if (top - above < scrollY) scrollTo({ top: top - above, behavior: "instant" });
  else if (bottom > scrollY + innerHeight) scrollTo({ top: bottom - innerHeight, behavior: "instant" });
  const left = app.layout.x[tile] + $("canvas").offsetLeft - 16;
  const right = left + app.layout.w[tile] + 32;
  if (left < scrollX) scrollTo({ left, behavior: "instant" });
  else if (right > scrollX + document.documentElement.clientWidth) scrollTo({ left: right - document.documentElement.clientWidth, behavior: "instant" });
}

/** @param {"left" | "right" | "up" | "down"} way */
export function moveCursor(way) {
  setCursor(neighbour(app.layout, app.cursor, way));
}

/** @param {number} tile @returns {string} its place in the order, for people */
export function positionOf(tile) {
  const at = app.layout.order.indexOf(tile) + 1;
  return `${at.toLocaleString("en")} of ${app.layout.order.length.toLocaleString("en")}`;
}

/** Begin: draw while scrolling, again when the window changes, and whatever is decided on. @param {(tile: number) => void} open */
export function startGrid(open) {
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }, { passive: true });
  new ResizeObserver(() => { if (Math.abs(measure() - room) > 1) showSheet(); }).observe($("sheet"));
  $("tiles").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const tile = tileAt(event.target);
    if (tile < 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setCursor(tile, { scroll: false });
    open(tile);
  });
  $("tiles").addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
    const tile = tileAt(event.target);
    if (tile >= 0 && tile !== app.cursor) setCursor(tile, { focus: false });
  });
  onDecision((changed) => {
    for (const tile of changed) if (tiles.has(tile)) showDecision(tiles.get(tile), tile);
  });
}

/** @param {any} target @returns {number} the tile whose picture it is in, or -1 */
function tileAt(target) {
  const picture = target.closest(".picture");
  return picture ? Number(picture.parentElement.dataset.index) : -1;
}

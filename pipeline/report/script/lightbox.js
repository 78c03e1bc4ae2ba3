/** One picture, large: leaf through along both axes of the sheet, zoom, compare, decide. */

import { nameBefore, partnersOf, showWay, WAYS } from "./compare.js";
import { altOf, originalOf, sheet, standingOf, stateOf, thumbAddress } from "./data.js";
import { onDecision } from "./decisions.js";
import { $, make, mark, own } from "./dom.js";
import { shut } from "./focus.js";
import { moveCursor, positionOf, setCursor } from "./grid.js";
import { fillDecision, fillPanel, showAbsent, startPanel } from "./panel.js";
import { app } from "./state.js";
import { clearFilter } from "./tools.js";
import { fit, showZoom } from "./zoom.js";

/** @typedef {import("./compare.js").Partner} Partner */

let way = "side";
let comparing = false; // also while leafing past a picture that has no partner
let chosen = 0;
/** Whoever wants to know that another picture is shown. @type {() => void} */
let moved = () => {};

/** @returns {boolean} */
export function isOpen() {
  return $("lightbox").open;
}

/** @param {number} tile */
export function openBox(tile) {
  if (tile < 0) return;
  if (!app.layout.order.includes(tile)) clearFilter(); // who asks for a picture by name wants that one
  setCursor(tile, { focus: false, scroll: false });
  if (!isOpen()) {
    fit();
    comparing = false;
    $("lightbox").showModal();
    $("box-panel").focus({ preventScroll: true });
    $("lightbox").scrollTop = 0;
  }
  showBox();
}

/** Close, with the tile that was shown last in view and in focus. */
export function closeBox() {
  shut($("lightbox"));
  setCursor(app.cursor); // in view, too
}

/** @param {"left" | "right" | "up" | "down"} direction along the axes of the sheet */
export function leaf(direction) {
  chosen = 0;
  moveCursor(direction);
  showBox();
}

function showBox() {
  const tile = app.cursor;
  const partners = partnersOf(tile);
  const partner = comparing ? partners[Math.min(chosen, partners.length - 1)] ?? null : null;
  const shown = standingOf(tile);
  const name = shown ? nameBefore(tile, shown) : "now";
  showSide($("side-now"), originalOf(tile), sheet.tiles.thumb[tile], altOf(tile), partner ? name : "", sheet.tiles.width[tile]);
  $("side-then").hidden = !partner;
  if (partner) showSide($("side-then"), partner.href, partner.thumb, partner.name, partner.name);
  else $("side-then").replaceChildren();
  $("stage").classList.toggle("comparing", partner !== null);
  $("compare-tools").hidden = !partner;
  $("box-compare").setAttribute("aria-pressed", String(partner !== null));
  $("box-compare").disabled = partners.length === 0;
  if (partner) {
    $("partner").replaceChildren(...partners.map((each, at) => new Option(each.name, String(at), at === chosen, at === chosen)));
    showWay(way, Number($("share").value));
    for (const each of document.querySelectorAll("#compare-tools [data-way]")) each.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (each).dataset.way === way));
  } else showWay("side", 50);
  $("box-position").textContent = positionOf(tile);
  const { order } = app.layout;
  $("box-back").disabled = order[0] === tile;
  $("box-on").disabled = order[order.length - 1] === tile;
  fillPanel(tile, partner);
  app.view.open = sheet.tiles.label[tile];
  moved();
}

/** A figure with a picture: the small one at once, the large one as soon as it is there. Its width is told in its own pixels. */
function showSide(/** @type {any} */ figure, /** @type {?string} */ href, /** @type {number} */ thumb, /** @type {string} */ alt, /** @type {string} */ name, /** @type {number} */ width = 0) {
  const small = thumbAddress(thumb);
  const tile = app.cursor;
  if (!small && !href) {
    const state = stateOf(tile);
    figure.replaceChildren(make("div", "blank", [make("span", "state", [mark(state), ` ${state}`]), make("span", "", own(sheet.reasons[sheet.tiles.reason[tile]] ?? ""))]));
    showZoom();
    return;
  }
  const image = make("img");
  image.alt = alt;
  image.draggable = false;
  image.dataset.pixels = String(width);
  image.addEventListener("load", showZoom);
  image.src = small ?? href;
  figure.replaceChildren(image, ...(name ? [make("figcaption", "", own(name))] : []));
  if (!href || href === image.src) return;
  const large = new Image();
  large.addEventListener("load", () => {
    image.dataset.pixels = String(large.naturalWidth);
    image.src = href;
  });
  large.addEventListener("error", () => {
    if (!image.isConnected) return;
    if (!small) figure.append(make("p", "aside", "There is no picture to show: the original is not beside this sheet."));
    showAbsent(app.cursor, href);
  });
  large.src = href;
}

/** Compare, or no longer. */
export function toggleCompare() {
  comparing = !comparing && partnersOf(app.cursor).length > 0;
  chosen = 0;
  showBox();
}

/** The next way of comparing. */
export function nextWay() {
  if (!comparing) return toggleCompare();
  way = WAYS[(WAYS.indexOf(way) + 1) % WAYS.length];
  showBox();
}

/** @param {(tile: number) => void} onMove is told which picture is shown, -1 when none is any more */
export function startBox(onMove) {
  moved = () => onMove(isOpen() ? app.cursor : -1);
  $("box-close").addEventListener("click", closeBox);
  $("box-back").addEventListener("click", () => leaf("left"));
  $("box-on").addEventListener("click", () => leaf("right"));
  $("box-compare").addEventListener("click", toggleCompare);
  $("partner").addEventListener("change", () => {
    chosen = Number($("partner").value);
    showBox();
  });
  $("share").addEventListener("input", () => showWay(way, Number($("share").value)));
  for (const each of document.querySelectorAll("#compare-tools [data-way]")) {
    each.addEventListener("click", () => {
      way = /** @type {HTMLElement} */ (each).dataset.way ?? "side";
      showBox();
    });
  }
  $("lightbox").addEventListener("close", () => {
    app.view.open = "";
    moved();
    setCursor(app.cursor);
  });
  onDecision((tiles) => {
    if (isOpen() && tiles.includes(app.cursor)) fillDecision(app.cursor);
  });
  startPanel(() => app.cursor);
}

/** Show the same picture again: the sheet has changed around it. */
export function refreshBox() {
  if (!isOpen()) return;
  if (sheet.tiles.label[app.cursor] === app.view.open) showBox();
  else closeBox(); // it is shown no more
}

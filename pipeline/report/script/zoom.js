/** Zoom and pan of what is on the stage: wheel, drag, two fingers, keys. It stays from picture to picture, to compare details. */

import { $ } from "./dom.js";

const MOST = 16;
const state = { zoom: 1, x: 0, y: 0 };
/** @type {Map<number, {x: number, y: number}>} */
const fingers = new Map();

/** @returns {boolean} */
function isZoomed() {
  return state.zoom > 1.001;
}

function showZoom() {
  const stage = $("stage");
  stage.style.setProperty("--zoom", state.zoom.toFixed(4));
  stage.style.setProperty("--x", `${state.x.toFixed(1)}px`);
  stage.style.setProperty("--y", `${state.y.toFixed(1)}px`);
  stage.classList.toggle("zoomed", isZoomed());
  $("zoom-out").textContent = isZoomed() ? `${Math.round(state.zoom * 100)} %` : "Fit";
}

/** Show all of the picture. */
export function fit() {
  Object.assign(state, { zoom: 1, x: 0, y: 0 });
  showZoom();
}

/** @param {number} factor @param {number} [x] from the middle of the stage, CSS pixels: what stays in place @param {number} [y] */
export function zoomBy(factor, x = 0, y = 0) {
  const zoom = Math.min(MOST, Math.max(1, state.zoom * factor));
  const grown = zoom / state.zoom;
  if (zoom === 1) return fit();
  move(x - (x - state.x) * grown, y - (y - state.y) * grown, zoom);
}

/** @param {number} x @param {number} y */
export function panBy(x, y) {
  if (isZoomed()) move(state.x + x, state.y + y, state.zoom);
}

/** @param {number} x @param {number} y @param {number} zoom */
function move(x, y, zoom) {
  const { width, height } = $("stage").getBoundingClientRect();
  const [farX, farY] = [width * zoom / 2, height * zoom / 2];
  Object.assign(state, { zoom, x: Math.min(farX, Math.max(-farX, x)), y: Math.min(farY, Math.max(-farY, y)) });
  showZoom();
}

/** Between all of the picture and one of its pixels for each of the screen's. @param {number} [x] @param {number} [y] */
export function toggleZoom(x = 0, y = 0) {
  if (isZoomed()) return fit();
  const image = $("stage").querySelector("img");
  const shown = Math.min(image.clientWidth, image.clientHeight * (image.naturalWidth / image.naturalHeight || 1));
  zoomBy(Math.max(2, image.naturalWidth / (shown || 1) / devicePixelRatio), x, y);
}

/** @param {MouseEvent} event @returns {[number, number]} from the middle of the stage */
function middle(event) {
  const box = $("stage").getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
}

/** Listen to wheel, pointers and double clicks on the stage. */
export function startZoom() {
  const stage = $("stage");
  stage.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
    event.preventDefault();
    zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 240), ...middle(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (/** @type {MouseEvent} */ event) => {
    if (!(/** @type {HTMLElement} */ (event.target)).closest("button, input")) toggleZoom(...middle(event));
  });
  stage.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    if ((/** @type {HTMLElement} */ (event.target)).closest("button, input")) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  stage.addEventListener("pointermove", onMove);
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    stage.addEventListener(end, (/** @type {PointerEvent} */ event) => fingers.delete(event.pointerId));
  }
  $("zoom-in").addEventListener("click", () => zoomBy(1.6));
  $("zoom-out").addEventListener("click", fit);
}

/** @param {PointerEvent} event */
function onMove(event) {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const now = { x: event.clientX, y: event.clientY };
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) zoomBy(distance(now, other) / (distance(before, other) || 1), ...middle(event));
  else panBy(now.x - before.x, now.y - before.y);
  fingers.set(event.pointerId, now);
}

/** @param {{x: number, y: number}} a @param {{x: number, y: number}} b */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

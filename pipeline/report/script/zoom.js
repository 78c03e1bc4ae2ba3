/** Zoom and pan of what is on the stage: wheel, drag, two fingers, keys. It stays from picture to picture, to compare details. */

import { $ } from "./dom.js";

const MOST = 16; // times all of the picture; more where its pixels are smaller than that
const state = { zoom: 1, x: 0, y: 0 };
/** @type {Map<number, {x: number, y: number}>} */
const fingers = new Map();

/** @returns {boolean} */
function isZoomed() {
  return Math.abs(state.zoom - 1) > 0.001;
}

/** @returns {any} the picture on the stage that percentages speak of; nothing where there is none */
function shownImage() {
  const image = $("side-now").querySelector("img");
  return image?.naturalWidth ? image : null;
}

/** @param {any} image @returns {number} its own width, of which a preview may have less */
function pixelsOf(image) {
  return Number(image.dataset.pixels) || image.naturalWidth;
}

/** @returns {number} the zoom at which a pixel of the picture (not of its preview) takes one of the screen's; 0 while there is no picture */
function fullZoom() {
  const image = shownImage();
  if (!image) return 0;
  const room = $("side-now").getBoundingClientRect(); // that of the picture, which is scaled within it
  const shown = Math.min(room.width, room.height * image.naturalWidth / image.naturalHeight);
  return shown ? pixelsOf(image) / (shown * devicePixelRatio) : 0;
}

/** Show the picture as the zoom has it, and say how large that is: 100 % is one pixel of the picture on one of the screen's. */
export function showZoom() {
  const stage = $("stage");
  stage.style.setProperty("--zoom", state.zoom.toFixed(6));
  stage.style.setProperty("--x", `${state.x.toFixed(1)}px`);
  stage.style.setProperty("--y", `${state.y.toFixed(1)}px`);
  stage.classList.toggle("zoomed", isZoomed());
  const image = shownImage();
  const full = fullZoom();
  const share = full ? `${Math.round(100 * state.zoom / full)} %` : "";
  $("zoom-share").textContent = isZoomed() ? share : `Fit ${share}`.trim();
  for (const id of ["zoom-out", "zoom-in", "zoom-full"]) $(id).disabled = !full;
  const less = image !== null && image.naturalWidth < pixelsOf(image);
  $("zoom-preview").hidden = !less;
  if (less) $("zoom-preview").textContent = `Preview: ${image.naturalWidth.toLocaleString("en")} of ${pixelsOf(image).toLocaleString("en")} pixels across`;
}

/** Show all of the picture. */
export function fit() {
  Object.assign(state, { zoom: 1, x: 0, y: 0 });
  showZoom();
}

/** @param {number} factor @param {number} [x] from the middle of the stage, CSS pixels: what stays in place @param {number} [y] */
export function zoomBy(factor, x = 0, y = 0) {
  const full = fullZoom();
  if (!full) return;
  const wanted = state.zoom * factor;
  const past = Math.min(state.zoom, wanted) < 0.999 && Math.max(state.zoom, wanted) > 1.001; // all of it is a stop on the way
  const zoom = past ? 1 : Math.min(Math.max(MOST, 2 * full), Math.max(Math.min(1, full), wanted));
  const grown = zoom / state.zoom;
  if (Math.abs(zoom - 1) < 0.001) return fit();
  move(x - (x - state.x) * grown, y - (y - state.y) * grown, zoom);
}

/** @param {number} x @param {number} y */
export function panBy(x, y) {
  if (isZoomed()) move(state.x + x, state.y + y, state.zoom);
}

/** @param {number} x @param {number} y @param {number} zoom */
function move(x, y, zoom) {
  const { width, height } = $("stage").getBoundingClientRect();
  const [farX, farY] = zoom < 1 ? [0, 0] : [width * zoom / 2, height * zoom / 2];
  Object.assign(state, { zoom, x: Math.min(farX, Math.max(-farX, x)), y: Math.min(farY, Math.max(-farY, y)) });
  showZoom();
}

/** One pixel of the picture for each of the screen's: 100 %. @param {number} [x] @param {number} [y] */
function showEveryPixel(x = 0, y = 0) {
  const full = fullZoom();
  if (full) move(x - (x - state.x) * full / state.zoom, y - (y - state.y) * full / state.zoom, full);
}

/** Between all of the picture and every pixel; twice as large where all of it is just that. @param {number} [x] @param {number} [y] */
export function toggleZoom(x = 0, y = 0) {
  if (isZoomed()) return fit();
  showEveryPixel(x, y);
  if (!isZoomed()) zoomBy(2, x, y);
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
  $("zoom-full").addEventListener("click", () => showEveryPixel());
  new ResizeObserver(() => showZoom()).observe(stage); // all of the picture takes more or fewer of the screen's pixels then
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

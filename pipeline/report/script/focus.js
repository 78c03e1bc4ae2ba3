/** Where the focus goes when something closes: to the picture that keys speak of, so that the next key means that one. */

import { $, topDialog } from "./dom.js";
import { setCursor } from "./grid.js";
import { app } from "./state.js";

/** Give the keys back to the picture: on the sheet, or large. The sheet is not scrolled; the next key does that. */
export function focusPicture() {
  const dialog = topDialog();
  if (!dialog) setCursor(app.cursor, { scroll: false });
  else if (dialog === $("lightbox") && !dialog.contains(document.activeElement)) $("box-panel").focus({ preventScroll: true });
}

/** @param {any} dialog is closed at once: a browser takes a moment to move the focus, and the next key would be lost */
export function shut(dialog) {
  dialog.close();
  focusPicture();
}

/** Watch whatever closes by itself: dialogs, the list of values, menus that were opened by mouse. */
export function startFocus() {
  let byMouse = false;
  addEventListener("pointerdown", () => { byMouse = true; }, true);
  addEventListener("keydown", () => { byMouse = false; }, true);
  addEventListener("close", focusPicture, true);
  $("values").addEventListener("toggle", (/** @type {any} */ event) => {
    const on = document.activeElement; // a click elsewhere closes the list too, and may have gone into a field
    const free = on === document.body || on instanceof HTMLButtonElement || $("values").contains(on);
    if (event.newState === "closed" && free) focusPicture();
  });
  addEventListener("change", (event) => {
    const menu = event.target;
    if (!(menu instanceof HTMLSelectElement) || !byMouse) return; // who chooses by key goes on choosing
    menu.blur();
    focusPicture();
  });
}

/** Deciding: on the picture that keys speak of, or on all that are shown and undecided. */

import { sheet } from "./data.js";
import { canDecide, decide, decisionOf, undo } from "./decisions.js";
import { $, count, say } from "./dom.js";
import { setCursor } from "./grid.js";
import { isOpen, leaf, openBox } from "./lightbox.js";
import { app } from "./state.js";
import { MOST_NOTE } from "./votes.js";

/** @param {Parameters<typeof decide>[1]} change @param {boolean} [on] go on to the next picture */
function change(change, on = false) {
  if (app.cursor < 0) return;
  if (!canDecide(app.cursor)) return say("There is no picture here to decide on yet.");
  decide([app.cursor], change);
  if (!on && !(isOpen() && $("advance").checked)) return;
  if (isOpen()) leaf("right");
  else setCursor(app.layout.order[app.layout.order.indexOf(app.cursor) + 1] ?? app.cursor);
}

/** @param {"approved" | "rejected" | ""} decision @param {boolean} [on] */
export function judge(decision, on = false) {
  change({ decision }, on);
}

/** @param {number} stars 0 to 5 @param {boolean} [on] */
export function rate(stars, on = false) {
  change({ stars }, on);
}

/** A button that is pressed already takes the decision back. @param {"approved" | "rejected"} decision */
function press(decision) {
  const now = decisionOf(app.cursor);
  judge(now.mine.decision === decision && !now.differs ? "" : decision);
}

/** Write a note on the picture. */
export function askNote() {
  if (app.cursor < 0 || !canDecide(app.cursor)) return say("There is no picture here to write on yet.");
  $("note-text").value = decisionOf(app.cursor).mine.note;
  $("note").dataset.label = sheet.tiles.label[app.cursor];
  $("note").showModal();
  $("note-text").focus();
}

/** Take the last step back, and show where. */
export function undoLast() {
  const tiles = undo();
  if (!tiles.length) return say("Nothing to undo.");
  say(`Undone: ${count(tiles.length, "picture")}.`);
  const shown = tiles.find((tile) => app.layout.order.includes(tile));
  if (shown === undefined) return;
  if (isOpen()) openBox(shown);
  else setCursor(shown);
}

/** @returns {number[]} what is shown and undecided */
export function undecided() {
  return app.shown.filter((tile) => canDecide(tile) && !decisionOf(tile).decision);
}

/** Approve whatever is shown and was not decided on. */
export function approveRest() {
  const tiles = undecided();
  if (!tiles.length) return say("Everything shown is decided on.");
  decide(tiles, { decision: "approved" });
  say(`Approved: ${count(tiles.length, "picture")}.`, "Undo", undoLast);
}

/** The buttons beside the large picture, and the note. */
export function startCulling() {
  for (const each of document.querySelectorAll("#box-decide [data-decide]")) {
    each.addEventListener("click", () => press(/** @type {any} */ (/** @type {HTMLElement} */ (each).dataset.decide)));
  }
  for (const each of document.querySelectorAll("#box-decide [data-stars]")) {
    each.addEventListener("click", () => {
      const stars = Number(/** @type {HTMLElement} */ (each).dataset.stars);
      rate(decisionOf(app.cursor).mine.stars === stars ? 0 : stars);
    });
  }
  $("tiles").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const pressed = (/** @type {HTMLElement} */ (event.target)).closest("[data-quick]");
    if (!(pressed instanceof HTMLElement)) return;
    setCursor(Number(pressed.closest("li")?.dataset.index), { scroll: false });
    press(/** @type {any} */ (pressed.dataset.quick));
  });
  $("box-note").addEventListener("click", askNote);
  $("note-text").maxLength = MOST_NOTE;
  $("note-form").addEventListener("submit", () => {
    const tile = sheet.tiles.label.indexOf($("note").dataset.label); // a run may have moved it meanwhile
    if (tile >= 0) decide([tile], { note: $("note-text").value.trim() });
  });
  $("note-cancel").addEventListener("click", () => $("note").close());
  $("note-text").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      $("note-form").requestSubmit();
    }
  });
}

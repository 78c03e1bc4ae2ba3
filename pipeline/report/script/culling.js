/** Deciding: on the picture that keys speak of, or on all that are shown and undecided. Whatever is done is seen and heard. */

import { standingOf, sheet } from "./data.js";
import { canDecide, decide, decisionOf, undo } from "./decisions.js";
import { $, count, hear, make, mark, say } from "./dom.js";
import { draftOf, dropDraft, saveDraft } from "./drafts.js";
import { shut } from "./focus.js";
import { isInView, setCursor, tileElement } from "./grid.js";
import { isOpen, leaf, openBox } from "./lightbox.js";
import { whyUndecidable } from "./panel.js";
import { app } from "./state.js";
import { MOST_NOTE } from "./votes.js";

const ASKED = 20; // pictures that are approved at once without asking
const SEEN = 900; // milliseconds

/** @param {Parameters<typeof decide>[1]} change @param {boolean} [on] go on to the next picture */
function change(change, on = false) {
  const tile = app.cursor;
  if (tile < 0) return;
  if (!canDecide(tile)) return say(whyUndecidable(tile));
  decide([tile], change);
  const next = on || (isOpen() && $("advance").checked);
  const words = wordsOf(tile, Object.keys(change));
  hear(`${words}: ${sheet.tiles.label[tile]}`);
  confirm([tile], next && isOpen() ? words + ", now the next" : words, change.decision);
  if (!isOpen()) setCursor(next ? app.layout.order[app.layout.order.indexOf(tile) + 1] ?? tile : tile, { scroll: next || !isInView(tile) });
  else if (next) leaf("right");
}

/** @param {number} tile @param {string[]} fields that were decided on; all that there is to say, without @returns {string} what it is now */
function wordsOf(tile, fields = ["decision", "stars", "note"]) {
  const { decision, stars, note } = decisionOf(tile).mine;
  const words = [
    ...(fields.includes("decision") ? [decision ? decision[0].toUpperCase() + decision.slice(1) : "Undecided"] : []),
    ...(fields.includes("stars") ? [stars ? count(stars, "star") : "No stars"] : []),
    ...(fields.includes("note") ? [note ? "Note kept" : "No note"] : []),
  ];
  return words.join(", ");
}

/** Say at the pictures themselves what was done, for a moment. @param {number[]} tiles @param {string} words @param {string} [sign] */
function confirm(tiles, words, sign = "") {
  const places = isOpen() ? [$("stage")] : tiles.map(tileElement).map((element) => element?.firstElementChild);
  for (const place of places) {
    if (!place) continue; // it is not in the page now
    place.querySelector(".flash")?.remove();
    const flash = make("span", "flash", [make("span", "", [...(sign ? [mark(sign)] : []), words])]);
    flash.dataset.state = sign;
    flash.setAttribute("aria-hidden", "true");
    place.append(flash);
    setTimeout(() => flash.remove(), SEEN);
  }
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
  const tile = app.cursor;
  if (tile < 0 || !canDecide(tile)) return say(tile >= 0 && standingOf(tile) ? whyUndecidable(tile) : "There is no picture here to write on yet.");
  $("note-text").value = draftOf(tile);
  $("note").dataset.label = sheet.tiles.label[tile];
  $("note").showModal();
  $("note-text").focus();
}

/** @returns {number} the picture that the note is on, or -1: a run may have moved it meanwhile */
function notedTile() {
  return sheet.tiles.label.indexOf($("note").dataset.label);
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
  confirm([shown], "Undone");
  hear(`Undone: ${sheet.tiles.label[shown]}: ${wordsOf(shown)}`);
}

/** @returns {number[]} what is shown and undecided */
export function undecided() {
  return app.shown.filter((tile) => canDecide(tile) && !decisionOf(tile).decision);
}

/** Approve whatever is shown and was not decided on; many only after asking. */
export function approveRest() {
  const tiles = undecided();
  if (!tiles.length) return say("Everything shown is decided on.");
  if (tiles.length <= ASKED) return approve(tiles);
  asked = new Set(tiles.map(pictureOf));
  $("sure-text").textContent = `Approve ${count(tiles.length, "picture")}, all that are shown and undecided?`;
  $("sure-yes").textContent = `Approve ${tiles.length.toLocaleString("en")}`;
  $("sure").showModal();
}

/** The pictures that were asked about: a run may bring others while the question is open. @type {Set<string>} */
let asked = new Set();

/** @param {number} tile @returns {string} */
function pictureOf(tile) {
  return sheet.tiles.key[tile] + " " + sheet.tiles.sha[tile];
}

/** @param {number[]} tiles */
function approve(tiles) {
  decide(tiles, { decision: "approved" });
  say(`Approved: ${count(tiles.length, "picture")}.`, "Undo", undoLast);
  if (!isOpen()) confirm(tiles, "Approved", "approved");
}

/** The buttons beside the large picture, the note, the question. */
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
  startNote();
  $("sure-no").addEventListener("click", () => shut($("sure")));
  $("sure-yes").addEventListener("click", () => {
    shut($("sure"));
    approve(undecided().filter((tile) => asked.has(pictureOf(tile))));
  });
}

/** The note keeps what is typed as a draft, until it is kept or thrown away. */
function startNote() {
  $("note-text").maxLength = MOST_NOTE;
  $("note-text").addEventListener("input", () => {
    if (notedTile() >= 0) saveDraft(notedTile(), $("note-text").value);
  });
  $("note-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const tile = notedTile();
    shut($("note"));
    if (tile < 0) return;
    decide([tile], { note: $("note-text").value.trim() });
    dropDraft(tile);
    const words = wordsOf(tile, ["note"]);
    hear(`${words}: ${sheet.tiles.label[tile]}`);
    confirm([tile], words, "note");
  });
  $("note-cancel").addEventListener("click", () => {
    const tile = notedTile();
    if (tile >= 0) dropDraft(tile);
    shut($("note"));
  });
  $("note-text").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      $("note-form").requestSubmit();
    }
  });
}

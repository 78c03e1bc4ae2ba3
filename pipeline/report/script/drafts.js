/** Words of notes that were typed and not kept yet: closing a note, or the page, never loses them. */

import { sheet } from "./data.js";
import { decisionOf } from "./decisions.js";

/** Picture and file → the words. @type {Map<string, string>} */
let drafts = new Map();
let keptDrafts = true;

/** @returns {string} where this campaign's drafts are stored in the browser */
function draftsKey() {
  return "campaign-pipeline drafts " + sheet.campaign;
}

/** @param {number} tile @returns {string} */
function draftPlace(tile) {
  return sheet.tiles.key[tile] + " " + sheet.tiles.sha[tile];
}

/** Read what the browser has kept. */
export function startDrafts() {
  try {
    const found = Object.entries(JSON.parse(localStorage.getItem(draftsKey()) ?? "{}"));
    drafts = new Map(found.filter((each) => /** @type {boolean} */ (typeof each[1] === "string")).map(([at, text]) => [at, String(text)]));
  } catch {
    drafts = new Map(); // no storage here, or rubbish in it: they live as long as the page
  }
}

/** @param {number} tile @returns {boolean} whether there are words that are not kept yet */
export function hasDraft(tile) {
  return drafts.has(draftPlace(tile));
}

/** @param {number} tile @returns {string} what is in its note: the draft, else what was kept */
export function draftOf(tile) {
  return drafts.get(draftPlace(tile)) ?? decisionOf(tile).mine.note;
}

/** @param {number} tile @param {string} text as far as it is typed; what is kept already is no draft */
export function saveDraft(tile, text) {
  if (text.trim() === decisionOf(tile).mine.note) drafts.delete(draftPlace(tile));
  else drafts.set(draftPlace(tile), text);
  try {
    localStorage.setItem(draftsKey(), JSON.stringify(Object.fromEntries(drafts)));
    keptDrafts = true;
  } catch {
    keptDrafts = false; // they live as long as the page
  }
}

/** @returns {boolean} whether leaving the page would lose words */
export function draftsWouldBeLost() {
  return drafts.size > 0 && !keptDrafts;
}

/** @param {number} tile its words were kept, or thrown away */
export function dropDraft(tile) {
  saveDraft(tile, decisionOf(tile).mine.note);
}

/** @returns {number[]} the pictures on the sheet with a note that is not kept yet, each once */
export function draftTiles() {
  const found = new Map(sheet.tiles.key.map((_, tile) => /** @type {[string, number]} */ ([draftPlace(tile), tile])).reverse());
  return [...drafts.keys()].map((at) => found.get(at) ?? -1).filter((tile) => tile >= 0);
}

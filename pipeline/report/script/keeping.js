/**
 * What the browser keeps of a campaign: decisions, the steps that can be undone, and my name. Other tabs of the same
 * campaign share it: each takes in what the others have decided.
 */

import { sheet } from "./data.js";
import { callMe, disputed, handedOn, kept, ME, onDecision, placeOn, refreshDecisions, takeIn, tell, undoable } from "./decisions.js";
import { FIELDS, isTime, MOST_NOTE, whole } from "./votes.js";

export const NAMELESS = "reviewer";
const NAME = "campaign-pipeline reviewer";
const MOST_STEPS = 200;
const STEPS_SIZE = 500_000; // characters, of the five million that browsers keep of a page

let text = ""; // as it was read or written last
let stored = false;
let changed = false;
let following = false;

/** @param {string} what @returns {string} where this campaign's are */
function storageKey(what) {
  return `campaign-pipeline ${what} 2 ${sheet.campaign}`;
}

/** Read what the browser has kept and what the sheet came with. */
export function startKeeping() {
  callMe(me());
  try {
    // Sheets of before kept one entry per reviewer that replaced the one before; mine had no name.
    load(localStorage.getItem("campaign-pipeline decisions " + sheet.campaign), (each) => each.who === "");
    read();
    stored = true;
  } catch {
    stored = false; // no storage here: export before leaving
  }
  refreshDecisions();
  onDecision(keep);
  addEventListener("storage", ({ key, newValue }) => { if (newValue !== null) follow(key); });
}

/** @param {?string} key another tab has written */
function follow(key) {
  if (key === NAME) callMe(me());
  else if (key !== storageKey("decisions") && key !== storageKey("undo")) return;
  read();
  following = true;
  tell([...kept.keys()]);
  following = false;
}

function read() {
  const now = localStorage.getItem(storageKey("decisions")) ?? "";
  if (now !== text) load(now, (each) => each.mine === true);
  text = now;
  const steps = parsed(localStorage.getItem(storageKey("undo"))).filter((step) => Array.isArray(step) && step.every(isUndone));
  undoable.splice(0, Infinity, ...steps);
}

/** @param {?string} json @returns {any[]} what was kept; nothing where that is no list */
function parsed(json) {
  try {
    const found = JSON.parse(json || "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** @param {?string} json as `store` wrote it @param {(each: any) => boolean} isMine */
function load(json, isMine) {
  const entries = parsed(json).flatMap((each) => {
    const found = whole(each);
    return found ? [{ found, mine: isMine(each), each }] : [];
  });
  for (const { found, mine } of entries) takeIn(found, mine ? ME : undefined);
  for (const { found, each } of entries.filter(({ mine }) => mine)) { // I may have settled it since it came in
    if (each.disputed === true) disputed.add(placeOn(found));
    else disputed.delete(placeOn(found));
    if (each.handedOn === true) handedOn.add(placeOn(found));
  }
}

/** @param {any} each @returns {boolean} whether it is one picture of a step that can be undone */
function isUndone(each) {
  if (typeof each?.before !== "object" || each.before === null || typeof each.at !== "string" || !isTime(each.when)) return false;
  const { decision = "", stars = 0, note = "", ...more } = each.before;
  return ["approved", "rejected", ""].includes(decision) && Number.isInteger(stars) && stars >= 0 && stars <= 5 &&
    typeof note === "string" && note.length <= 2 * MOST_NOTE && !Object.keys(more).length && FIELDS.some((field) => field in each.before);
}

/** Keep what was decided, undone, taken in or handed on. */
export function keep() {
  if (following) return;
  changed = true;
  try {
    const now = localStorage.getItem(storageKey("decisions")) ?? "";
    if (now !== text) load(now, (each) => each.mine === true); // of another tab, in this very moment
    text = JSON.stringify([...kept].flatMap(([at, of]) => [...of].map(([id, each]) =>
      id === ME ? { ...each, mine: true, disputed: disputed.has(at), handedOn: handedOn.has(at) } : each)));
    store(text);
    stored = true;
  } catch {
    stored = false;
  }
}

/** @param {string} json decisions come first: steps that can be undone are kept as far as there is room */
function store(json) {
  const undo = storageKey("undo");
  try {
    localStorage.setItem(storageKey("decisions"), json);
  } catch {
    localStorage.removeItem(undo);
    localStorage.setItem(storageKey("decisions"), json);
  }
  try {
    localStorage.setItem(undo, JSON.stringify(lastSteps()));
  } catch {
    localStorage.removeItem(undo);
  }
}

/** @returns {import("./decisions.js").Undone[][]} as many of the last steps as are kept */
function lastSteps() {
  let [from, size] = [undoable.length, 0];
  while (from > Math.max(0, undoable.length - MOST_STEPS) && (size += JSON.stringify(undoable[from - 1]).length) < STEPS_SIZE) from -= 1;
  return undoable.slice(from);
}

/** @returns {boolean} whether leaving the page would lose decisions */
export function wouldBeLost() {
  return changed && !stored;
}

/** @returns {string} what I am called, as said before */
export function reviewer() {
  try {
    const said = localStorage.getItem(NAME);
    if (said) return said;
  } catch {
    // then it is asked for
  }
  return sheet.served ? sheet.served.who : "";
}

/** @returns {string} whose decisions are mine; a served page's have a name from the beginning */
function me() {
  return reviewer() || (sheet.served ? NAMELESS : "");
}

/** @param {string} name */
export function setReviewer(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // then it is asked for again
  }
  callMe(name || me());
}

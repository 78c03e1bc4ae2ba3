/**
 * Decisions on pictures: mine and others', kept in the browser, undone, exported, imported and merged.
 * A decision speaks of one picture (its key) in one take (the hash of its file), so it is never carried over to another.
 */

import { sheet } from "./data.js";

/**
 * @typedef {{picture: string, file: string, label: string, take: number, decision: string, stars: number, note: string,
 *   who: string, when: string, disputed?: boolean}} Decision disputed: somebody else's came in since that says otherwise
 * @typedef {{decision: string, stars: number, note: string, who: string, when: string, differs: boolean, all: Decision[]}} Shown
 * @typedef {{version: number, campaign: string, reviewer: string, exported: string, decisions: Decision[]}} Exported
 * @typedef {{adopted: number, older: number, unknown: number, differs: number}} Merged
 */

export const MOST_NOTE = 4000;
export const NAMELESS = "reviewer";
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const LAST_MOMENT = Date.UTC(9999, 11, 31);
const NOTHING = Object.freeze({ decision: "", stars: 0, note: "", who: "", when: "", differs: false, all: [] });

/** Picture and file → reviewer → decision. Mine are under an empty name until they are exported. @type {Map<string, Map<string, Decision>>} */
const kept = new Map();
/** What is to be put back, newest last. @type {{at: string, before: Decision | undefined, shown: Shown}[][]} */
const undoable = [];
/** @type {((tiles: number[]) => void)[]} */
const listeners = [];
/** Pictures → tiles that show them. @type {Map<string, number[]>} */
let tilesOf = new Map();
let stored = false;
let changed = false;

/** @param {(tiles: number[]) => void} listener is told which tiles' decisions have changed */
export function onDecision(listener) {
  listeners.push(listener);
}

/** @param {string} picture @param {string} file */
function place(picture, file) {
  return picture + " " + file;
}

/** @param {number} tile */
function placeOf(tile) {
  return place(sheet.tiles.key[tile], sheet.tiles.sha[tile]);
}

/** @returns {string} where this campaign's decisions are stored in the browser */
function storageKey() {
  return "campaign-pipeline decisions " + sheet.campaign;
}

/** Read what the sheet came with and what the browser has kept. */
export function startDecisions() {
  indexTiles();
  adoptKept();
  try {
    load(localStorage.getItem(storageKey()));
    stored = true;
  } catch {
    stored = false; // no storage here: export before leaving
  }
  addEventListener("storage", (event) => { if (event.key === storageKey() && event.newValue) followOther(event.newValue); });
}

/** @param {?string} text as `store` wrote it */
function load(text) {
  for (const each of text ? JSON.parse(text) : []) {
    const found = whole(each);
    if (found) put({ ...found, disputed: each.disputed === true });
  }
}

/** The same sheet in another tab has decided: without this the last of the two to decide would overwrite the other's. @param {string} text */
function followOther(text) {
  kept.clear();
  undoable.length = 0; // what is undone must be what was seen
  adoptKept();
  load(text);
  for (const listener of listeners) listener(sheet.tiles.key.map((_, tile) => tile));
}

/** After another sheet came in: what it knows counts, what was decided here stays. */
export function refreshDecisions() {
  indexTiles();
  adoptKept();
}

function indexTiles() {
  tilesOf = new Map();
  sheet.tiles.key.forEach((_, tile) => {
    const at = placeOf(tile);
    const tiles = tilesOf.get(at);
    if (tiles) tiles.push(tile);
    else tilesOf.set(at, [tile]);
  });
}

function adoptKept() {
  for (const [picture, each] of Object.entries(sheet.decisions)) {
    const tile = tilesOf.get(place(picture, each.sha))?.[0];
    const { sha, decision, stars, note, who, when } = each;
    const [label, take] = tile === undefined ? ["", 1] : [sheet.tiles.label[tile], takeOf(tile)];
    put({ picture, file: sha, label, take, decision, stars, note, who, when }, who === me() ? "" : who);
  }
}

/** @param {any} each @returns {Decision | null} a decision as schemas/decisions.schema.json has it, and nothing else; null for what is none */
function whole(each) {
  if (typeof each !== "object" || each === null) return null;
  const { picture, file, label, take = 0, decision, stars = 0, note = "", who, when } = each;
  const right = isText(picture, 64) && /^([0-9a-f]{32}){1,2}$/.test(picture) && isText(file, 64) && /^[0-9a-f]{64}$/.test(file) &&
    isText(label, 4000) && isText(note, MOST_NOTE) && isText(who, 200) && ["approved", "rejected", ""].includes(decision) &&
    Number.isInteger(take) && take >= 0 && Number.isInteger(stars) && stars >= 0 && stars <= 5 &&
    isText(when, 40) && MOMENT.test(when) && !Number.isNaN(Date.parse(when));
  return right ? { picture, file, label, take, decision, stars, note, who, when } : null;
}

/** @param {any} value @param {number} most signs */
function isText(value, most) {
  return typeof value === "string" && (value.length <= most || [...value].length <= most);
}

/** @param {Decision} each @param {string} [as] under which name @returns {"adopted" | "older" | "same"} the newest of a reviewer counts */
function put(each, as = each.who) {
  const at = place(each.picture, each.file);
  const of = kept.get(at) ?? new Map();
  const before = of.get(as);
  if (before && Date.parse(before.when) >= Date.parse(each.when)) return before.when === each.when ? "same" : "older";
  of.set(as, { ...each, who: as });
  kept.set(at, of);
  return "adopted";
}

/** @param {string} picture @param {string} file @returns {Shown} what counts: mine, else the newest of the others' */
export function decisionOn(picture, file) {
  const of = kept.get(place(picture, file));
  if (!of) return NOTHING;
  const mine = of.get("");
  const all = [...of.values()].filter((each) => (each.decision || each.stars || each.note) && (!mine || !each.who || each.when !== mine.when || each.decision !== mine.decision));
  const newest = [...all].sort((a, b) => Date.parse(b.when) - Date.parse(a.when));
  const shown = mine ?? newest[0];
  if (!shown) return NOTHING;
  // Mine settles what others said before, as far as I knew of it.
  const counted = mine ? all.filter((each) => mine.disputed || Date.parse(each.when) >= Date.parse(mine.when)) : all;
  const differs = new Set(counted.map((each) => each.decision).filter(Boolean)).size > 1;
  return { ...shown, differs, all: newest };
}

/** @param {number} tile @returns {Shown} */
export function decisionOf(tile) {
  return decisionOn(sheet.tiles.key[tile], sheet.tiles.sha[tile]);
}

/** @param {number} tile @returns {boolean} whether there is a picture to decide on */
export function canDecide(tile) {
  return sheet.tiles.sha[tile] !== "";
}

/**
 * Decide on pictures, as one step that can be undone.
 * @param {number[]} tiles
 * @param {Partial<Pick<Decision, "decision" | "stars" | "note">>} change
 */
export function decide(tiles, change) {
  const step = [];
  const told = new Set();
  for (const tile of tiles) {
    const at = placeOf(tile);
    if (!canDecide(tile) || told.has(at)) continue;
    told.add(at);
    const now = decisionOf(tile);
    step.push({ at, before: kept.get(at)?.get(""), shown: now });
    const of = kept.get(at) ?? new Map();
    of.set("", {
      picture: sheet.tiles.key[tile], file: sheet.tiles.sha[tile], label: sheet.tiles.label[tile], take: takeOf(tile),
      decision: now.decision, stars: now.stars, note: now.note, ...change, who: "", when: after(of),
    });
    kept.set(at, of);
  }
  if (!step.length) return;
  undoable.push(step);
  tell(step.map(({ at }) => at));
}

/** @param {Map<string, Decision>} of @returns {string} now, or just after the newest of these: another's clock may be fast */
function after(of) {
  const newest = Math.max(...[...of.values()].map((each) => Date.parse(each.when) + 1), Date.now());
  return new Date(Math.min(newest, LAST_MOMENT)).toISOString();
}

/** @param {number} tile */
function takeOf(tile) {
  const take = sheet.dimensions.find((each) => each.key === "take");
  return Number(take?.values[take.of[tile]]?.replace(/\D/g, "")) || 1;
}

/** @returns {number[]} the tiles of the last step, which is undone */
export function undo() {
  const step = undoable.pop();
  if (!step) return [];
  for (const { at, before, shown } of step) {
    const of = /** @type {Map<string, Decision>} */ (kept.get(at));
    const { decision, stars, note } = shown;
    // A server has written the step down already: there only something newer takes it back.
    if (sheet.served) of.set("", { .../** @type {Decision} */ (of.get("")), decision, stars, note, when: after(of) });
    else if (before) of.set("", before);
    else of.delete("");
  }
  tell(step.map(({ at }) => at));
  return step.flatMap(({ at }) => tilesOf.get(at) ?? []);
}

/** Keep in the browser, and tell who listens. @param {string[]} places */
function tell(places) {
  changed = true;
  store();
  const tiles = places.flatMap((at) => tilesOf.get(at) ?? []);
  for (const listener of listeners) listener(tiles);
}

function store() {
  try {
    localStorage.setItem(storageKey(), JSON.stringify([...kept.values()].flatMap((of) => [...of.values()])));
    stored = true;
  } catch {
    stored = false;
  }
}

/** @returns {boolean} whether leaving the page would lose decisions */
export function wouldBeLost() {
  return changed && !stored;
}

/** @returns {string} what I am called, as said before */
export function reviewer() {
  try {
    const said = localStorage.getItem("campaign-pipeline reviewer");
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
    localStorage.setItem("campaign-pipeline reviewer", name);
  } catch {
    // then it is asked for again
  }
}

/** @param {string} name @returns {Decision[]} everything that was decided, by label; mine under this name */
function everything(name) {
  const all = [...kept.values()].flatMap((of) => {
    const mine = of.get("");
    const others = [...of.values()].filter((each) => each.who && !(mine && each.who === name));
    return mine ? [...others, { ...mine, who: name }] : others;
  });
  return all.map(({ disputed, ...each }) => each).sort((a, b) => a.label.localeCompare(b.label, "en") || a.who.localeCompare(b.who, "en"));
}

/** @param {string} name @param {Decision[]} [decisions] @returns {Exported} */
export function exported(name, decisions = everything(name)) {
  return { version: 1, campaign: sheet.campaign, reviewer: name, exported: new Date().toISOString(), decisions };
}

/** @param {string} name @returns {Decision[]} what the sheet didn't come with: mine, under this name, and what was taken in */
export function fresh(name) {
  return everything(name).filter(({ picture, file, when }) => sheet.decisions[picture]?.sha !== file || sheet.decisions[picture].when !== when);
}

/**
 * @param {string} text an exported decisions.json
 * @returns {Merged}
 * @throws {Error} when it is none
 */
export function imported(text) {
  /** @type {any} */
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error("That is no decisions.json: it isn't JSON.");
  }
  if (document?.version !== 1 || !Array.isArray(document.decisions)) throw new Error("That is no decisions.json of a contact sheet.");
  if (document.campaign !== sheet.campaign) {
    throw new Error(`These are decisions on the campaign ${String(document.campaign).slice(0, 80)}; this sheet shows ${sheet.campaign}.`);
  }
  /** @type {(Decision | null)[]} */
  const found = document.decisions.map(whole);
  const wrong = found.indexOf(null);
  if (wrong >= 0) throw new Error(`Its decision number ${wrong + 1} is not whole; nothing was imported.`);
  const result = { adopted: 0, older: 0, unknown: 0, differs: 0 };
  const places = [];
  for (const each of /** @type {Decision[]} */ (found)) {
    const at = place(each.picture, each.file);
    const done = put(each, each.who === me() ? "" : each.who);
    if (done === "adopted") {
      const mine = kept.get(at)?.get("");
      if (mine?.decision && each.decision && mine.decision !== each.decision) kept.get(at)?.set("", { ...mine, disputed: true });
      places.push(at);
      result.adopted += 1;
      if (!tilesOf.has(at)) result.unknown += 1;
    } else result.older += 1;
  }
  if (places.length) {
    undoable.length = 0; // what is undone must be what was seen
    tell(places);
  }
  result.differs = differing().length;
  return result;
}

/** @returns {number[]} tiles on whose pictures reviewers differ, and that I have not decided on since */
export function differing() {
  return sheet.tiles.key.map((_, tile) => tile).filter((tile) => decisionOf(tile).differs);
}

/** @returns {{approved: number, rejected: number, undecided: number, differs: number, all: number}} pictures, each counted once */
export function tally() {
  const result = { approved: 0, rejected: 0, undecided: 0, differs: 0, all: 0 };
  for (const tiles of tilesOf.values()) {
    if (!canDecide(tiles[0])) continue;
    const { decision, differs } = decisionOf(tiles[0]);
    result.all += 1;
    if (differs) result.differs += 1;
    result[decision === "approved" ? "approved" : decision === "rejected" ? "rejected" : "undecided"] += 1;
  }
  return result;
}

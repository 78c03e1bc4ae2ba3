/**
 * Decisions on pictures: mine and others', who counts, and what is undone. A decision speaks of one picture (its key) in
 * one take (the hash of its file), so it is never carried over to another. Whatever I press changes my own entry only.
 */

import { sheet } from "./data.js";
import { byMoment, entryOf, FIELDS, idOf, joined, newestFirst, personOf, sameVotes, votesOf } from "./votes.js";

/**
 * @typedef {import("./votes.js").Decision} Decision
 * @typedef {Pick<Decision, "decision" | "stars" | "note">} Words
 * @typedef {Words & {who: string, when: string, differs: boolean, all: Decision[], mine: Words}} Shown of each field mine,
 *   else the newest of the others'. `who` said it (empty: I), and `note` holds their note as it is, others' with their
 *   names; `all`: everybody's own words, the newest first; `mine`: what I said myself
 * @typedef {{at: string, when: string, before: Partial<Words>, disputed: boolean}} Undone one picture of a step
 */

const LAST_MOMENT = Date.UTC(9999, 11, 31);
const SILENT = Object.freeze({ decision: "", stars: 0, note: "" });
/** @type {Shown} */
const NOTHING = Object.freeze({ ...SILENT, who: "", when: "", differs: false, all: [], mine: SILENT });

/** Whose entries those are that were made here, whatever I am called. */
export const ME = "";
/** Picture and file → person → their entry. @type {Map<string, Map<string, Decision>>} */
export const kept = new Map();
/** Where somebody's decision came in that is not mine, and that I didn't know of. @type {Set<string>} */
export const disputed = new Set();
/** What I said there went into a file: only something newer takes it back. @type {Set<string>} */
export const handedOn = new Set();
/** What can be undone, newest last: what I had said before. @type {Undone[][]} */
export const undoable = [];
/** @type {((tiles: number[]) => void)[]} */
const listeners = [];
/** What counts, as long as nothing changes. @type {Map<string, Shown>} */
const counted = new Map();
/** Pictures → tiles that show them. @type {Map<string, number[]>} */
let tilesOf = new Map();
let myself = ""; // the person that my name is; empty without one

/** @param {(tiles: number[]) => void} listener is told which tiles' decisions have changed */
export function onDecision(listener) {
  listeners.push(listener);
}

/** @param {string} name from now on, entries of this name are mine */
export function callMe(name) {
  if (myself !== personOf(name)) counted.clear();
  myself = personOf(name);
}

/** @param {string} picture @param {string} file */
function place(picture, file) {
  return picture + " " + file;
}

/** @param {Decision} each */
export function placeOn(each) {
  return place(each.picture, each.file);
}

/** @param {number} tile */
function placeOf(tile) {
  return place(sheet.tiles.key[tile], sheet.tiles.sha[tile]);
}

/** After this or another sheet came in: what it knows is taken in, what was decided here stays. */
export function refreshDecisions() {
  tilesOf = new Map();
  sheet.tiles.key.forEach((_, tile) => {
    const at = placeOf(tile);
    const tiles = tilesOf.get(at);
    if (tiles) tiles.push(tile);
    else tilesOf.set(at, [tile]);
  });
  // Mine last: I knew what the sheet holds beside it.
  for (const each of cameWith().sort((one, other) => Number(isMine(one)) - Number(isMine(other)))) takeIn(each);
}

/** @returns {Decision[]} the entries in the sheet's own data */
export function cameWith() {
  return Object.entries(sheet.decisions).flatMap(([picture, all]) => all.map(({ sha, ...said }) => {
    const tile = tilesOf.get(place(picture, sha))?.[0];
    const [label, take] = tile === undefined ? ["", 1] : [sheet.tiles.label[tile], takeOf(tile)];
    return { picture, file: sha, label, take, ...said };
  }));
}

/** @param {Decision} each */
function isMine(each) {
  return myself !== "" && personOf(each.who) === myself;
}

/** @param {Decision} each @param {string} [id] whose it is @returns {"adopted" | "older" | "same"} of each reviewer's votes the newest count */
export function takeIn(each, id = idOf(each)) {
  const at = placeOn(each);
  const of = kept.get(at) ?? new Map();
  const before = of.get(id);
  const now = before ? joined(before, each) : each;
  const own = mineIn(of);
  const isNew = now.decision && (!before || votesOf(before).decision?.when !== votesOf(now).decision?.when);
  if (isNew && id !== ME && id !== myself && own?.decision && own.decision !== now.decision) disputed.add(at);
  kept.set(at, of.set(id, now));
  counted.delete(at);
  return !before || !sameVotes(before, now) ? "adopted" : sameVotes(now, each) ? "same" : "older";
}

/** @param {Map<string, Decision> | undefined} of @returns {Decision | undefined} what I said, here and under my name elsewhere */
function mineIn(of) {
  const [here, elsewhere] = [of?.get(ME), myself ? of?.get(myself) : undefined];
  const mine = here && elsewhere ? joined(here, elsewhere) : here ?? elsewhere;
  return mine && { ...mine, who: "" };
}

/** @param {string} picture @param {string} file @returns {Shown} what counts */
export function decisionOn(picture, file) {
  const at = place(picture, file);
  const of = kept.get(at);
  if (!of) return NOTHING;
  let shown = counted.get(at);
  if (!shown) counted.set(at, shown = shownOf(at, of));
  return shown;
}

/** @param {string} at @param {Map<string, Decision>} of @returns {Shown} */
function shownOf(at, of) {
  const mine = mineIn(of);
  const others = [...of].filter(([id, each]) => id !== ME && id !== myself && saysSomething(each) &&
    !(mine && sameVotes(mine, each))) // I was called otherwise
    .map(([, each]) => each);
  /** @param {import("./votes.js").Field} field */
  const first = (field) => mine?.[field] ? mine : [...others].sort(newestFirst(field)).find((each) => each[field]);
  const [decided, rated, noted] = FIELDS.map(first);
  const speaker = decided ?? noted ?? rated;
  if (!speaker) return NOTHING;
  const all = [...(mine && saysSomething(mine) ? [mine] : []), ...others].sort((one, other) => byMoment(other.when, one.when));
  /** @param {Decision} each */
  const calledBy = (each) => each === mine ? "" : each.who || "somebody";
  const notes = [speaker, ...all.filter((each) => each !== speaker)].filter((each) => each.note)
    .map((each) => each === speaker ? each.note : `${calledBy(each) || "you"}: ${each.note}`);
  // Mine settles what others said before, as far as I knew of it.
  const settled = mine?.decision && !disputed.has(at) ? votesOf(mine).decision?.when : undefined;
  const told = all.filter((each) => each.decision && (each === mine || !settled || byMoment(votesOf(each).decision?.when ?? "", settled) >= 0));
  return {
    decision: decided?.decision ?? "", stars: rated?.stars ?? 0, note: notes.join(" · "), who: calledBy(speaker),
    when: speaker.when, differs: new Set(told.map((each) => each.decision)).size > 1,
    all: all.map((each) => ({ ...each, who: calledBy(each) })), mine: mine ?? SILENT,
  };
}

/** @param {Words} each */
function saysSomething({ decision, stars, note }) {
  return Boolean(decision || stars || note);
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
 * @param {Partial<Words>} change
 */
export function decide(tiles, change) {
  /** @type {Undone[]} */
  const step = [];
  for (const at of new Set(tiles.filter(canDecide).map(placeOf))) {
    const mine = mineIn(kept.get(at));
    if (saysNothingNew(at, mine, change)) continue;
    const before = Object.fromEntries(FIELDS.filter((field) => field in change).map((field) => [field, (mine ?? SILENT)[field]]));
    const isDisputed = disputed.has(at);
    if (change.decision !== undefined) disputed.delete(at);
    step.push({ at, when: vote(at, change), before, disputed: isDisputed });
  }
  if (!step.length) return;
  undoable.push(step);
  tell(step.map(({ at }) => at));
}

/**
 * Whoever takes back what they never said takes nothing back, also not what they may have said elsewhere. As long as I
 * have no name, what others said may be mine.
 * @param {string} at @param {Decision | undefined} mine @param {Partial<Words>} change
 */
function saysNothingNew(at, mine, change) {
  const said = [...(mine ? [mine] : []), ...(myself ? [] : kept.get(at)?.values() ?? [])];
  return FIELDS.every((field) => !change[field] && !(field in change && said.some((each) => each[field])));
}

/** @param {string} at @param {Partial<Words>} change @returns {string} when I said so: the newest time at this picture */
function vote(at, change) {
  const of = kept.get(at) ?? new Map();
  const [tile] = tilesOf.get(at) ?? [];
  const before = /** @type {Decision | undefined} */ (of.get(ME));
  const [picture, file] = at.split(" ");
  const base = before ?? { picture, file, label: sheet.tiles.label[tile], take: takeOf(tile), ...SILENT, who: "", when: "" };
  const when = after(of);
  const said = Object.fromEntries(Object.entries(change).map(([field, value]) => [field, { value, when }]));
  kept.set(at, of.set(ME, entryOf(base, { ...(before && votesOf(before)), ...said })));
  counted.delete(at);
  return when;
}

/** @param {Map<string, Decision>} of @returns {string} now, or just after the newest of these: another's clock may be fast */
function after(of) {
  const newest = Math.max(...[...of.values()].map((each) => (Date.parse(each.when) || 0) + 1), Date.now());
  return new Date(Math.min(newest, LAST_MOMENT)).toISOString();
}

/** @param {number} tile */
function takeOf(tile) {
  const take = sheet.dimensions.find((each) => each.key === "take");
  return Number(take?.values[take.of[tile]]?.replace(/\D/g, "")) || 1;
}

/**
 * Say again what I had said before my last step. What came in since, from others or from me elsewhere, stays: a step that
 * something newer of mine has replaced is passed over.
 * @returns {number[]} the tiles of the step
 */
export function undo() {
  for (let step = undoable.pop(); step; step = undoable.pop()) {
    const places = step.filter(takeBack).map(({ at }) => at);
    if (!places.length) continue;
    tell(places);
    return places.flatMap((at) => tilesOf.get(at) ?? []);
  }
  return [];
}

/** @param {Undone} one @returns {boolean} whether there was something to take back */
function takeBack({ at, when, before, disputed: wasDisputed }) {
  const votes = /** @type {import("./votes.js").Votes} */ (votesOf(mineIn(kept.get(at)) ?? /** @type {any} */ ({ times: {} })));
  const still = Object.entries(before).filter(([field]) => votes[/** @type {import("./votes.js").Field} */ (field)]?.when === when);
  if (!still.length || !tilesOf.has(at)) return false;
  vote(at, Object.fromEntries(still));
  if (wasDisputed) disputed.add(at);
  return true;
}

/** Tell who listens. @param {string[]} places */
export function tell(places) {
  const tiles = places.flatMap((at) => tilesOf.get(at) ?? []);
  for (const listener of listeners) listener(tiles);
}

/** @param {Decision} each @returns {boolean} whether the sheet shows what it speaks of */
export function isShown(each) {
  return tilesOf.has(placeOn(each));
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

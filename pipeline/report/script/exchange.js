/** Decisions as files: handed on, taken in and merged with what is here; and what a served page has yet to send. */

import { sheet } from "./data.js";
import { cameWith, differing, handedOn, isShown, kept, ME, placeOn, takeIn, tell } from "./decisions.js";
import { keep } from "./keeping.js";
import { idOf, joined, personOf, plainName, sameVotes, whole } from "./votes.js";

/**
 * @typedef {import("./votes.js").Decision} Decision
 * @typedef {{version: number, campaign: string, reviewer: string, exported: string, decisions: Decision[]}} Exported
 * @typedef {{adopted: number, older: number, unknown: number, differs: number}} Merged
 */

const VERSION = 2;

/** @param {string} name @returns {Decision[]} everything that was decided, by label; mine under this name */
function everything(name) {
  const all = [...kept].flatMap(([at, of]) => {
    const mine = [...of].filter(([id]) => id === ME || id === personOf(name)).map(([, each]) => ({ ...each, who: plainName(name) }));
    const others = [...of].filter(([id]) => id !== ME && id !== personOf(name)).map(([, each]) => each);
    if (!mine.length) return others;
    const entry = mine.reduce(joined);
    const known = sheet.served || handedOn.has(at) || of.has(personOf(name)); // else what was taken back was never seen
    return known || entry.decision || entry.stars || entry.note ? [...others, entry] : others;
  });
  return all.sort((a, b) => a.label.localeCompare(b.label, "en") || a.who.localeCompare(b.who, "en"));
}

/** @param {string} name @returns {Exported} everything that was decided, as a file */
export function exported(name) {
  const document = asDocument(name, everything(name));
  for (const at of document.decisions.map(placeOn)) if (kept.get(at)?.has(ME)) handedOn.add(at);
  keep();
  return document;
}

/** @param {string} name @param {Decision[]} decisions @returns {Exported} */
export function asDocument(name, decisions) {
  return { version: VERSION, campaign: sheet.campaign, reviewer: name, exported: new Date().toISOString(), decisions };
}

/** @param {string} name @returns {Decision[]} what the sheet didn't come with: mine, under this name, and what was taken in */
export function fresh(name) {
  /** @type {Map<string, Decision[]>} */
  const there = new Map();
  for (const each of cameWith()) {
    const at = placeOn(each);
    there.set(at, [...there.get(at) ?? [], each]);
  }
  return everything(name).filter((each) => !there.get(placeOn(each))?.some((other) =>
    sameVotes(other, each) || (idOf(other) === idOf(each) && sameVotes(other, joined(other, each)))));
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
  if (Number.isInteger(document?.version) && document.version > VERSION) {
    throw new Error("These decisions were exported from a newer contact sheet: ask for one, and take them in there.");
  }
  if (![1, VERSION].includes(document?.version) || !Array.isArray(document.decisions)) {
    throw new Error("That is no decisions.json of a contact sheet.");
  }
  if (document.campaign !== sheet.campaign) {
    throw new Error(`These are decisions on the campaign ${String(document.campaign).slice(0, 80)}; this sheet shows ${sheet.campaign}.`);
  }
  const reviewer = typeof document.reviewer === "string" ? document.reviewer : "";
  /** @type {(Decision | null)[]} */
  const found = document.decisions.map((/** @type {any} */ each) => whole(each, reviewer));
  const wrong = found.indexOf(null);
  if (wrong >= 0) throw new Error(`Its decision number ${wrong + 1} is not whole; nothing was imported.`);
  const result = { adopted: 0, older: 0, unknown: 0, differs: 0 };
  const places = [];
  for (const each of /** @type {Decision[]} */ (found)) {
    if (takeIn(each) === "adopted") {
      places.push(placeOn(each));
      result.adopted += 1;
      if (!isShown(each)) result.unknown += 1;
    } else result.older += 1;
  }
  if (places.length) tell(places);
  result.differs = differing().length;
  return result;
}

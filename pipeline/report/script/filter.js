/** Which tiles are shown: words, hidden values, decisions. */

import { dimension, sheet } from "./data.js";
import { decisionOf } from "./decisions.js";

/**
 * @typedef {{words: string, hidden: Map<string, Set<string>>}} Filter hidden: dimension → values; `decision` and `tag` too
 */

const VERDICTS = ["approved", "rejected", "undecided", "differs"];
const MARKS = ["starred", "noted", "stale approval", "none"];
const REVIEWED = ["decision", "mark"]; // filters whose answer changes while somebody decides

/** @typedef {{key: string, name: string, values: string[], titles: string[], count: (tiles: number[]) => number[]}} Facet */

/** @returns {Facet[]} what can be filtered by: decisions, every dimension of several values, tags */
export function facets() {
  const all = [
    facet("decision", "Decision", VERDICTS, VERDICTS, (tile) => [verdictOf(tile)]),
    facet("mark", "Marks", MARKS, MARKS, marksOf),
    ...sheet.dimensions.map(ofDimension),
    facet("tag", "Tag", [...sheet.tags.values, "none"], [...sheet.tags.values, "none"], tagsOf),
  ];
  return all.filter((each) => (each.key === "tag" ? sheet.tags.values.length > 0 : each.values.length > 1));
}

/** @param {import("./data.js").Dimension} of @returns {Facet} some pictures may have no value there: theirs is an empty one */
function ofDimension(of) {
  const none = of.values.length > 1 && of.of.includes(-1) ? [""] : [];
  return facet(of.key, of.name, [...of.values, ...none], [...(of.titles ?? of.values), ...none.map(() => "none")], (tile) => [of.values[of.of[tile]] ?? ""]);
}

/** @returns {Facet} */
function facet(/** @type {string} */ key, /** @type {string} */ name, /** @type {string[]} */ values, /** @type {string[]} */ titles, /** @type {(tile: number) => string[]} */ of) {
  return {
    key, name, values, titles,
    count: (tiles) => {
      const counts = new Map();
      for (const tile of tiles) for (const value of of(tile)) counts.set(value, (counts.get(value) ?? 0) + 1);
      return values.map((value) => counts.get(value) ?? 0);
    },
  };
}

/** What can be searched of each tile, in lower case; made at the first search. @type {string[]} */
let haystack = [];

/** Another sheet has come in. */
export function forgetSearch() {
  haystack = [];
}

/** @returns {string[]} */
function searched() {
  if (haystack.length) return haystack;
  const { label, text, files } = sheet.tiles;
  const texts = sheet.texts.map((each) => each.toLowerCase());
  haystack = label.map((each, tile) => [
    each,
    ...sheet.dimensions.map((of) => (of.of[tile] < 0 ? "" : `${of.values[of.of[tile]]}\n${of.titles?.[of.of[tile]] ?? ""}`)),
    ...sheet.tags.of[tile].map((tag) => sheet.tags.values[tag]),
    ...files[tile].map((file) => file[0]),
  ].join("\n").toLowerCase() + "\n" + texts[text[tile]]);
  return haystack;
}

/** @param {number} tile @returns {string} how a picture was decided on */
function verdictOf(tile) {
  const { decision, differs } = decisionOf(tile);
  return differs ? "differs" : decision || "undecided";
}

/** @param {number} tile @returns {string[]} what else stands at a picture */
function marksOf(tile) {
  const { stars, note } = decisionOf(tile);
  const marks = [];
  if (stars) marks.push("starred");
  if (note) marks.push("noted");
  if (sheet.stale[tile] !== undefined) marks.push("stale approval");
  return marks.length ? marks : ["none"];
}

/** @returns {boolean} whether any picture has stars, a note or an approval that has become stale */
export function anyMark() {
  return sheet.tiles.label.some((_, tile) => marksOf(tile)[0] !== "none");
}

/** @param {number} tile @returns {string[]} */
function tagsOf(tile) {
  const tags = sheet.tags.of[tile].map((tag) => sheet.tags.values[tag]);
  return tags.length ? tags : ["none"];
}

/** @param {Filter} filter @returns {boolean} whether anything is left out */
export function filters(filter) {
  return filter.words.trim() !== "" || filter.hidden.size > 0;
}

/**
 * @param {Filter} filter
 * @param {(tile: number) => boolean} [stays] whatever was decided on it since
 * @returns {number[]} the tiles that pass, in the sheet's order
 */
export function passing(filter, stays = () => false) {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const hidden = [...filter.hidden];
  const tests = hidden.filter(([key]) => !REVIEWED.includes(key)).map(([key, values]) => tester(key, values));
  const reviewed = hidden.filter(([key]) => REVIEWED.includes(key)).map(([key, values]) => tester(key, values));
  const hay = words.length ? searched() : [];
  const result = [];
  for (let tile = 0; tile < sheet.tiles.label.length; tile += 1) {
    if (!tests.every((test) => test(tile)) || !words.every((word) => hay[tile].includes(word))) continue;
    if (stays(tile) || reviewed.every((test) => test(tile))) result.push(tile);
  }
  return result;
}

/**
 * What is decided on stays in view until the filter is applied again.
 * @param {Filter} filter
 * @param {number[]} shown
 * @returns {string} how far what is shown has fallen behind the filter, for people; empty while it has not
 */
export function outdated(filter, shown) {
  if (!REVIEWED.some((key) => filter.hidden.has(key))) return "";
  const [before, now] = [new Set(shown), new Set(passing(filter))];
  const gone = shown.filter((tile) => !now.has(tile)).length;
  const more = [...now].filter((tile) => !before.has(tile)).length;
  const undecided = !filter.hidden.has("mark") && VERDICTS.every((word) => (word === "undecided") !== Boolean(filter.hidden.get("decision")?.has(word)));
  const left = `${gone.toLocaleString("en")} shown here ${undecided ? (gone === 1 ? "has" : "have") + " been decided since" : gone === 1 ? "no longer matches" : "no longer match"}`;
  return [...(gone ? [left] : []), ...(more ? [`${more.toLocaleString("en")} more ${more === 1 ? "matches" : "match"} now`] : [])].join(", ");
}

/** @param {string} key @param {Set<string>} values hidden @returns {(tile: number) => boolean} whether a tile stays */
function tester(key, values) {
  if (key === "decision") return (tile) => !values.has(verdictOf(tile));
  if (key === "mark") return (tile) => marksOf(tile).some((word) => !values.has(word));
  if (key === "tag") return (tile) => tagsOf(tile).some((word) => !values.has(word));
  const of = dimension(key);
  if (!of) return () => true;
  const hidden = of.values.map((value) => values.has(value));
  const none = values.has("");
  return (tile) => !(hidden[of.of[tile]] ?? none);
}

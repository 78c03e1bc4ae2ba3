/** One picture on the sheet: its thumbnail, its state, its caption, the decision on it. */

import { altOf, blankWords, dimension, originalOf, sheet, stateOf, thumbAddress, valueOf } from "./data.js";
import { canDecide, decisionOf } from "./decisions.js";
import { make, mark, own } from "./dom.js";
import { app } from "./state.js";

const TOLD = ["product", "prompt", "vary", "ratio", "resolution", "variant", "provider"];

/** @returns {string[]} the dimensions that captions have to tell, because no heading does */
export function captionKeys() {
  const said = new Set(Object.values(app.view.axes));
  return TOLD.flatMap((name) => sheet.dimensions.filter((each) => each.key === name || each.key.startsWith(name + ".")))
    .filter((each) => each.values.length > 1 && !said.has(each.key))
    .map((each) => each.key);
}

/** @param {number} tile @param {string[]} told @returns {any} a list item, not placed yet */
export function makeTile(tile, told) {
  const item = make("li", "tile");
  item.dataset.index = String(tile);
  item.dataset.state = stateOf(tile);
  const picture = make("a", "picture");
  picture.href = originalOf(tile) ?? "#open=" + encodeURIComponent(sheet.tiles.label[tile]);
  picture.append(...inside(tile));
  const caption = make("div", "caption");
  const facts = make("p", "facts", told.map((key) => valueOf(key, tile)).filter(Boolean).map((text) => make("span", "", own(text))));
  const take = valueOf("take", tile);
  if (take && take !== "take 1") facts.append(make("span", "", take));
  if (sheet.tiles.proof[tile] && !allProofs()) facts.append(make("span", "proof", "proof"));
  facts.title = facts.textContent ? [...facts.children].map((each) => each.textContent).join(" · ") : "";
  caption.append(facts, make("p", "verdict"));
  item.append(picture, caption);
  if (canDecide(tile)) item.append(make("span", "quick", [quick("approved", "Approve", tile), quick("rejected", "Reject", tile)]));
  showDecision(item, tile);
  return item;
}

/** @param {string} decision @param {string} name @param {number} tile @returns {any} a button for who decides by mouse; keys have their own */
function quick(decision, name, tile) {
  const element = make("button", "", mark(decision));
  element.type = "button";
  element.tabIndex = -1;
  element.dataset.quick = decision;
  element.setAttribute("aria-label", `${name} ${sheet.tiles.label[tile]}`);
  return element;
}

/** @returns {boolean} whether the head has said already that these are proofs */
function allProofs() {
  return sheet.notice !== "" && !sheet.tiles.proof.includes(0);
}

/** @param {number} tile @returns {any[]} the thumbnail, or why there is none */
function inside(tile) {
  const state = stateOf(tile);
  const address = thumbAddress(sheet.tiles.thumb[tile]);
  const reason = sheet.reasons[sheet.tiles.reason[tile]] ?? "";
  if (address) {
    const image = make("img");
    image.alt = altOf(tile);
    image.decoding = "async";
    image.src = address;
    image.draggable = false;
    if (state !== "done") return [image, flag(state, name(state), reason)];
    return sheet.blank[tile] ? [image, flag("uncertain", name(sheet.blank[tile]), `It is ${blankWords(tile)}.`)] : [image];
  }
  if (sheet.tiles.thumb[tile] >= 0) return [make("span", "coming"), make("span", "sr", altOf(tile))];
  const words = make("span", "state", [mark(state), state === "done" ? " No preview" : ` ${name(state)}`]);
  return [make("span", "blank", [words, make("span", "reason", own(reason)), make("span", "sr", altOf(tile))])];
}

/** @param {string} shape @param {string} words @param {string} reason @returns {any} */
function flag(shape, words, reason) {
  const element = make("span", "flag", [mark(shape), ` ${words}`]);
  element.dataset.state = shape;
  element.title = reason;
  return element;
}

/** @param {string} word */
function name(word) {
  return word[0].toUpperCase() + word.slice(1);
}

/** Show how a picture was decided on. @param {any} item @param {number} tile */
export function showDecision(item, tile) {
  const { decision, stars, note, differs, who } = decisionOf(tile);
  const stale = sheet.stale[tile];
  item.dataset.decision = differs ? "differs" : decision;
  const verdict = item.querySelector(".verdict");
  verdict.replaceChildren();
  const words = [];
  if (note) {
    verdict.append(mark("note"));
    words.push(`note: ${note}`);
  }
  if (stars) {
    const shown = make("span", "stars", "★".repeat(stars));
    shown.dataset.stars = String(stars);
    verdict.append(shown);
    words.push(`${stars} of 5 stars`);
  }
  if (stale !== undefined) {
    verdict.append(mark("stale"));
    words.push(`approved before, but ${stale}`);
  }
  const shown = differs ? "differs" : decision;
  if (shown) {
    verdict.append(mark(shown));
    words.push(shown + (who ? ` by ${who}` : ""));
  }
  verdict.title = words.join(" · ");
  if (words.length) verdict.append(make("span", "sr", words.join(", ")));
}

/** @param {string} key @param {number} value @returns {string} what a heading says */
export function headingText(key, value) {
  const of = dimension(key);
  return of ? of.titles?.[value] || of.values[value] : "";
}

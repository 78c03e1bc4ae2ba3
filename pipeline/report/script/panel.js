/** What stands beside a large picture: the decision, the prompt, parameters, files, earlier takes. */

import { blankWords, sheet, standingOf, stateOf, thumbAddress, valueOf } from "./data.js";
import { canDecide, decisionOf, decisionOn } from "./decisions.js";
import { $, copyText, make, mark, moment, own, path, shellWord, sides } from "./dom.js";
import { hasDraft } from "./drafts.js";
import { wordsChanged } from "./compare.js";

/** @param {number} tile @param {import("./compare.js").Partner | null} partner compared with */
export function fillPanel(tile, partner) {
  $("box-title").replaceChildren(own(valueOf("product", tile)));
  $("box-label").replaceChildren(...path(sheet.tiles.label[tile]));
  fillTrouble(tile);
  fillDecision(tile);
  fillPrompt(tile);
  fillReferences(tile);
  fillFacts(tile);
  fillFiles(tile);
  fillEarlier(tile);
  fillChanges(tile, partner);
}

/** @param {string} id @param {any[]} content its section is hidden when there is none */
function fill(id, content) {
  $(id).replaceChildren(...content);
  $(id).closest("section").hidden = content.length === 0;
}

/** @param {number} tile */
function fillTrouble(tile) {
  const state = stateOf(tile);
  const reason = sheet.reasons[sheet.tiles.reason[tile]] ?? "";
  const stale = sheet.stale[tile];
  /** @type {any[][]} */
  const lines = [];
  if (state !== "done") lines.push([`${state[0].toUpperCase()}${state.slice(1)}${reason ? ": " : ""}`, own(reason)]);
  else if (reason) lines.push([own(`${reason[0].toUpperCase()}${reason.slice(1)}.`)]);
  if (stale !== undefined) lines.push(["Approved before, but ", own(stale), "."]);
  if (sheet.blank[tile]) lines.push([`Shows nothing: it is ${blankWords(tile)}.`]);
  if (sheet.tiles.nsfw[tile]) lines.push(["The gateway's own check has flagged this picture."]);
  const trouble = $("box-trouble");
  trouble.hidden = lines.length === 0;
  trouble.dataset.state = state === "done" ? "uncertain" : state;
  trouble.replaceChildren(...lines.flatMap((line, at) => [...(at ? [" "] : []), ...line]));
}

/** @param {number} tile @returns {string} why nothing can be decided there; empty where it can */
export function whyUndecidable(tile) {
  if (canDecide(tile)) return "";
  if (!standingOf(tile)) return "There is no picture here to decide on yet.";
  return "This is the picture from before; the new one is not made yet, so there is nothing to decide on.";
}

/** Show how the picture was decided on, and what others said. @param {number} tile */
export function fillDecision(tile) {
  const { note, who, differs, all, mine } = decisionOf(tile);
  const why = whyUndecidable(tile);
  for (const each of document.querySelectorAll("#box-decide button")) /** @type {HTMLButtonElement} */ (each).disabled = why !== "";
  $("box-why").textContent = why;
  $("box-why").hidden = why === "";
  $("advance").closest("label").hidden = why !== "";
  $("box-draft").hidden = !hasDraft(tile);
  for (const each of document.querySelectorAll("#box-decide [data-decide]")) {
    each.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (each).dataset.decide === mine.decision && !differs));
  }
  for (const each of document.querySelectorAll("#box-decide [data-stars]")) {
    const own = Number(/** @type {HTMLElement} */ (each).dataset.stars);
    each.setAttribute("aria-pressed", String(own === mine.stars));
    each.classList.toggle("lit", own <= mine.stars);
  }
  const others = all.length > 1 || who ? all : [];
  const lines = others.map((each) => make("li", "", [
    ...(each.decision ? [mark(each.decision)] : []),
    make("b", "", own(each.who || "You")), ` ${each.decision || "undecided"}${each.stars ? " " + "★".repeat(each.stars) : ""}${each.note ? ": " : ""}`, own(each.note),
  ]));
  if (note && !others.length) lines.push(make("li", "", [mark("note"), own(note)]));
  const before = (sheet.history[tile] ?? []).map((each) => ({ each, on: decisionOn(each.key, each.sha) }))
    .filter(({ on }) => on.note || on.decision === "rejected").at(-1);
  if (before) {
    const { each, on } = before;
    lines.push(make("li", "", [mark(on.decision || "note"), make("b", "", `Take ${each.take}`), ` ${on.decision}`, ...by(on)]));
  }
  $("box-said").replaceChildren(...lines);
}

/** @param {{who: string, note: string}} said @returns {any[]} who said it, and the note */
function by({ who, note }) {
  return [...(who ? [" by ", own(who)] : []), ...(note ? [": ", own(note)] : [])];
}

/** @param {number} tile the prompt, its slots shown as the references they name */
function fillPrompt(tile) {
  const slots = sheet.slotsets[sheet.tiles.slots[tile]] ?? [];
  const parts = sheet.texts[sheet.tiles.text[tile]].split(/(@Image\d*(?!\w))/);
  $("box-text").replaceChildren(...parts.map((part) => {
    const slot = /^@Image(\d*)$/.exec(part);
    const reference = slot ? sheet.references[slots[Number(slot[1] || 1) - 1]] : undefined;
    if (!reference) return slot ? own(part) : document.createTextNode(part); // a slot says nothing of the text's direction
    const element = make("bdi", "slot", [...small(reference.thumb, ""), part]);
    element.title = reference.name;
    return element;
  }));
}

/** @param {number} thumb @param {string} alt @returns {any[]} an image, or nothing */
function small(thumb, alt) {
  const address = thumbAddress(thumb);
  if (!address) return [];
  const image = make("img");
  image.alt = alt;
  image.src = address;
  return [image];
}

/** @param {number} tile */
function fillReferences(tile) {
  const slots = sheet.slotsets[sheet.tiles.slots[tile]] ?? [];
  fill("box-references", slots.map((number, at) => {
    const reference = sheet.references[number];
    const picture = small(reference.thumb, `Reference ${reference.name}`);
    const element = make("li", "", [
      ...(picture.length ? picture : [make("span", "none", "no preview")]),
      make("b", "", `@Image${at + 1}`), " ", make("span", "", [own(reference.name), ...(reference.role ? [" (", own(reference.role), ")"] : [])]),
    ]);
    element.title = reference.source;
    return element;
  }));
}

/** @param {number} tile */
function fillFacts(tile) {
  const { width, height, proof, usd, seconds, made, key } = sheet.tiles;
  const shown = sheet.dimensions.filter((each) => !["product", "state", "provider", "model"].includes(each.key) && each.of[tile] >= 0);
  const tags = sheet.tags.of[tile].flatMap((tag, at) => [...(at ? [", "] : []), own(sheet.tags.values[tag])]);
  /** @type {[string, string | any[]][]} */
  const facts = [
    ...shown.map((each) => /** @type {[string, string]} */ ([each.name, valueOf(each.key, tile)])),
    ["Tags", tags.length ? tags : ""],
    ["Pixels", `${width[tile]} × ${height[tile]}`],
    ["Model", valueOf("model", tile)],
    ["Provider", valueOf("provider", tile) + (proof[tile] ? " (proof)" : "")],
    ["Cost", usd[tile] < 0 || proof[tile] ? "" : money(usd[tile])],
    ["Time", seconds[tile] < 0 ? "" : `${seconds[tile].toFixed(1)} s`],
    ["Made", made[tile] ? moment(made[tile]) : ""],
    ["Key", key[tile]],
  ];
  $("box-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", "", own(name)), make("dd", name === "Key" ? "key" : "", Array.isArray(value) ? value : own(value))]));
}

/** @param {number} usd micro-dollars @returns {string} with the tenths of a cent that one picture's price needs */
function money(usd) {
  const cents = usd / 1e4;
  return `$${(usd / 1e6).toFixed(Number.isInteger(cents) ? 2 : 3)}`;
}

/** @param {number} bytes */
function size(bytes) {
  if (!bytes) return "";
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {?string} href @param {string | any[]} text @returns {any} a link, or text where there is nothing to open */
function link(href, text) {
  if (!href) return make("span", "", text);
  const element = make("a", "", text);
  element.href = href;
  element.target = "_blank";
  element.rel = "noopener";
  return element;
}

/** @param {number} tile */
function fillFiles(tile) {
  const files = sheet.tiles.files[tile];
  fill("box-files", files.map(([format, href, bytes, state]) => {
    const here = state === "done" && href !== null && !absent.has(href);
    const element = make("li", "", [link(here ? href : null, format.toUpperCase()), make("span", "", state === "done" ? size(bytes) : state)]);
    element.dataset.state = state;
    return element;
  }));
  const away = files.some(([, href, , state]) => state === "done" && (href === null || absent.has(href)));
  $("box-absent").hidden = !away;
}

/** Originals that could not be loaded: this sheet was sent without them. @type {Set<string>} */
const absent = new Set();

/** A picture's original is not here: then its other files aren't either, and a link would lead nowhere. @param {number} tile @param {string} href */
export function showAbsent(tile, href) {
  absent.add(href);
  const files = sheet.tiles.files[tile];
  if (files.some((file) => file[1] === href)) for (const [, other] of files) if (other) absent.add(other);
  fillFiles(tile);
}

/** @param {number} tile */
function fillEarlier(tile) {
  fill("box-earlier", [...(sheet.history[tile] ?? [])].reverse().map((each) => {
    const { decision, note, who } = decisionOn(each.key, each.sha);
    const what = each.key === sheet.tiles.key[tile] ? `Take ${each.take}` : each.changes.join(", ") || "Another spec";
    const said = decision || note ? [mark(decision || "note"), ` ${decision}`, ...by({ who, note })] : [];
    return make("li", "", [...small(each.thumb, ""), make("p", "", [link(each.href, sides(what)), make("small", "", moment(each.made)), ...(said.length ? [make("small", "", said)] : [])])]);
  }));
}

/** What changed from the picture it is compared with. @param {number} tile @param {import("./compare.js").Partner | null} partner */
function fillChanges(tile, partner) {
  const before = partner ?? standingOf(tile); // what is still shown there differs from what is wanted now
  if (!before) return fill("box-changes", []);
  const now = sheet.texts[sheet.tiles.text[tile]];
  const lines = before.changes.map((change) => make("p", "", sides(change)));
  if (before.text !== null && before.text !== now) {
    const words = wordsChanged(before.text, now).flatMap(([word, how]) => [how === "same" ? word : make(how === "gone" ? "del" : "ins", "", word), " "]);
    const line = make("p", "words", words);
    line.dir = "auto";
    lines.push(line);
  }
  const old = !partner || partner.tile < 0 ? [] : sheet.dimensions.filter((each) => !["state", "set", "take"].includes(each.key) && each.of[tile] !== each.of[partner.tile])
    .map((each) => make("p", "", [own(each.name), ": ", own(valueOf(each.key, partner.tile) || "–"), " → ", own(valueOf(each.key, tile) || "–")]));
  fill("box-changes", [...old, ...lines]);
}

/** Copy buttons: the label, the prompt, the command for a retake. @param {() => number} current the tile shown */
export function startPanel(current) {
  $("lightbox").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const pressed = (/** @type {HTMLElement} */ (event.target)).closest(".copy[data-copy]");
    if (!(pressed instanceof HTMLElement)) return;
    const label = sheet.tiles.label[current()];
    const texts = { label, prompt: sheet.texts[sheet.tiles.text[current()]], retake: `${sheet.commands.retake} ${shellWord(label + ".*")}` };
    void copyText(pressed, texts[/** @type {"label" | "prompt" | "retake"} */ (pressed.dataset.copy)]);
  });
}


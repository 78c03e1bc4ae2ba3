/** Every key, said once: what it does, and what the help says of it. */

import { toggleCompare, closeBox, isOpen, leaf, nextWay, openBox } from "./lightbox.js";
import { markForCompare } from "./compare.js";
import { approveRest, askNote, judge, rate, undoLast } from "./culling.js";
import { $, make, say, takesText, topDialog } from "./dom.js";
import { focusPicture, shut } from "./focus.js";
import { moveCursor, setCursor } from "./grid.js";
import { openReview } from "./review.js";
import { app } from "./state.js";
import { clearFilter, refreshFilter } from "./tools.js";
import { panBy, toggleZoom, zoomBy } from "./zoom.js";

/**
 * @typedef {{keys: string[], shown: string, name: string, act: (event: KeyboardEvent) => void, box?: boolean}} Key
 *   keys: as `KeyboardEvent.key` in lower case; box: true only with a picture open, false only without
 */

/** @param {"left" | "right" | "up" | "down"} way @param {number} x @param {number} y @returns {(event: KeyboardEvent) => void} */
function go(way, x, y) {
  return (event) => {
    if (isOpen() && event.shiftKey) panBy(x, y);
    else if (isOpen()) leaf(way);
    else moveCursor(way);
  };
}

/** @type {{title: string, keys: Key[]}[]} */
const GROUPS = [
  {
    title: "Decide",
    keys: [
      { keys: ["p", "a"], shown: "P", name: "approve (also A)", act: (event) => judge("approved", event.shiftKey) },
      { keys: ["x"], shown: "X", name: "reject", act: (event) => judge("rejected", event.shiftKey) },
      { keys: ["u"], shown: "U", name: "undecided again", act: (event) => judge("", event.shiftKey) },
      { keys: ["1", "2", "3", "4", "5", "0"], shown: "1 … 5, 0", name: "stars, none", act: (event) => rate(Number(event.code.slice(-1)), event.shiftKey) },
      { keys: [], shown: "Shift + any of these", name: "and go on to the next", act: () => {} },
      { keys: ["n"], shown: "N", name: "write a note: Enter keeps it, Esc leaves it as a draft", act: askNote },
      { keys: ["ctrl+z"], shown: "Ctrl + Z", name: "undo", act: undoLast },
      { keys: ["y"], shown: "Y", name: "approve all that is shown and undecided", act: approveRest },
      { keys: ["e"], shown: "E", name: "export, import, merge", act: openReview },
    ],
  },
  {
    title: "Look",
    keys: [
      { keys: ["arrowleft"], shown: "← →", name: "the picture before, the next", act: go("left", 80, 0) },
      { keys: ["arrowright"], shown: "", name: "", act: go("right", -80, 0) },
      { keys: ["arrowup"], shown: "↑ ↓", name: "the row above, below", act: go("up", 0, 80) },
      { keys: ["arrowdown"], shown: "", name: "", act: go("down", 0, -80) },
      { keys: ["home"], shown: "Home, End", name: "the first, the last", act: () => jump(0) },
      { keys: ["end"], shown: "", name: "", act: () => jump(app.layout.order.length - 1) },
      { keys: ["enter", " "], shown: "Enter", name: "open large", act: () => openBox(app.cursor), box: false },
      { keys: ["z", " "], shown: "Z", name: "all of it, or every pixel (100 %)", act: () => toggleZoom(), box: true },
      { keys: ["+", "="], shown: "+ −", name: "zoom; Shift + arrows move", act: () => zoomBy(1.4), box: true },
      { keys: ["-"], shown: "", name: "", act: () => zoomBy(1 / 1.4), box: true },
      { keys: ["escape"], shown: "Esc", name: "close; show everything again", act: closeBox, box: true },
      { keys: ["escape"], shown: "", name: "", act: leave, box: false },
    ],
  },
  {
    title: "Compare and find",
    keys: [
      { keys: ["c"], shown: "C", name: "compare: with what was approved, an earlier take, a sibling", act: compare },
      { keys: ["v"], shown: "V", name: "side by side, slider, blend, difference", act: nextWay, box: true },
      { keys: ["m"], shown: "M", name: "mark, to compare others with it", act: markCurrent },
      { keys: ["/"], shown: "/", name: "find", act: find, box: false },
      { keys: ["r"], shown: "R", name: "filter again, when pictures have been decided since", act: refreshFilter, box: false },
      { keys: ["?"], shown: "?", name: "these keys", act: () => $("help").showModal() },
    ],
  },
];

function compare() {
  if (app.cursor < 0) return;
  if (!isOpen()) openBox(app.cursor);
  if (!$("box-compare").disabled) toggleCompare();
  else say("There is nothing to compare this picture with; M marks one.");
}

function markCurrent() {
  markForCompare(app.cursor);
  say("Marked. On another picture, C compares them.");
}

/** @param {number} at */
function jump(at) {
  const tile = app.layout.order[at] ?? -1;
  if (isOpen()) openBox(tile);
  else setCursor(tile);
}

/** First back to the picture, then to all of them. @param {KeyboardEvent} event */
function leave(event) {
  const on = event.target;
  if (on instanceof HTMLElement && $("tools").contains(on)) focusPicture();
  else clearFilter();
}

function find() {
  $("query").focus();
  $("query").select();
}

/** @param {KeyboardEvent} event @returns {string} */
function nameOf(event) {
  if (/^(Digit|Numpad)[0-5]$/.test(event.code) && !event.ctrlKey) return event.code.slice(-1);
  const key = event.key.toLowerCase();
  return event.ctrlKey || event.metaKey ? "ctrl+" + key : key;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.altKey || event.defaultPrevented || event.isComposing) return;
  const list = document.querySelector(":popover-open");
  if (list) {
    if (event.key !== "Escape" || !(list instanceof HTMLElement)) return;
    event.preventDefault();
    list.hidePopover();
    return focusPicture();
  }
  const dialog = topDialog();
  if (dialog && dialog !== $("lightbox")) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    return shut(dialog);
  }
  if (event.key === "Escape" && event.target instanceof HTMLSelectElement) {
    event.target.blur();
    event.preventDefault();
    return focusPicture();
  }
  if (takesText(event.target)) return;
  const name = nameOf(event);
  const open = isOpen();
  // A button that was pressed keeps the focus: it has a use for Enter, but the arrows go on to other pictures.
  const own = /^(enter| )$/.test(name) ? "button, a:not(.picture), input, summary" : "input[type=range]";
  if (/^(enter| |arrow.*|home|end)$/.test(name) && event.target instanceof HTMLElement && event.target.matches(own)) return;
  const key = GROUPS.flatMap((group) => group.keys).find((each) => each.keys.includes(name) && (each.box ?? open) === open);
  if (!key) return;
  event.preventDefault();
  key.act(event);
}

/** Listen, and write the help. */
export function startKeys() {
  addEventListener("keydown", onKey);
  $("help-keys").replaceChildren(...GROUPS.map(({ title, keys }) => make("section", "", [
    make("h3", "", title),
    make("dl", "", keys.filter((each) => each.shown).flatMap((each) => [make("dt", "", make("kbd", "", each.shown)), make("dd", "", each.name)])),
  ])));
  for (const element of document.querySelectorAll(".close-dialog")) {
    element.addEventListener("click", () => shut(element.closest("dialog")));
  }
  $("show-help").addEventListener("click", () => $("help").showModal());
}

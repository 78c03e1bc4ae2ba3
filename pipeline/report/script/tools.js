/** The bar above the sheet: what runs where, what is shown, how large. */

import { distinct } from "./address.js";
import { dimension } from "./data.js";
import { onDecision } from "./decisions.js";
import { $, button, count, make, mark, own } from "./dom.js";
import { anyMark, facets, filters, outdated } from "./filter.js";
import { focusPicture } from "./focus.js";
import { applyFilter } from "./grid.js";
import { axisKeys } from "./pivot.js";
import { app } from "./state.js";

const MANY = 12; // values, above which a list of them can be searched

/** Whoever shows the sheet anew. @type {() => void} */
let showAnew = () => {};

/** Set the tools as the view has it. */
export function showTools() {
  const keys = axisKeys();
  for (const axis of /** @type {const} */ (["bands", "down", "across"])) {
    const select = $("axis-" + axis);
    select.replaceChildren(new Option("–", ""), ...keys.map((key) => new Option(dimension(key)?.name, key)));
    select.value = app.view.axes[axis];
    select.disabled = keys.length === 0;
  }
  if ($("query") !== document.activeElement) $("query").value = app.view.filter.words;
  $("size").value = String(Math.round(app.layout.picture));
  showCount();
  showFacets();
}

/** How many are shown. */
function showCount() {
  const all = dimension("state")?.of.length ?? 0;
  const some = app.shown.length;
  $("count").textContent = filters(app.view.filter) ? `${some.toLocaleString("en")} of ${count(all, "picture")}` : count(all, "picture");
  $("clear").hidden = !filters(app.view.filter);
  showOutdated();
}

/** What was decided on stays where it is; say so, and let the reviewer choose when it goes. */
function showOutdated() {
  const text = outdated(app.view.filter, app.shown);
  if (text !== $("outdated-text").textContent) $("outdated-text").textContent = text;
  $("outdated").classList.toggle("there", text !== "");
  $("refresh").disabled = text === "";
}

/** Apply the filter again. */
export function refreshFilter() {
  applyFilter();
  showAnew();
  showCount();
  focusPicture();
}

/** The buttons of the dimensions. @type {Map<string, HTMLButtonElement>} */
const openers = new Map();

/** One button for each dimension; it opens the list of its values. A button stays the same, and in its place, while the mouse is on its way to it. */
function showFacets() {
  const all = facets();
  for (const facet of all) if (!openers.has(facet.key)) openers.set(facet.key, makeOpener(facet.key));
  const wanted = all.map((facet) => openers.get(facet.key));
  const there = $("facets").children;
  if (wanted.length !== there.length || wanted.some((opener, at) => opener !== there[at])) $("facets").replaceChildren(...wanted);
  for (const facet of all) showOpener(/** @type {HTMLButtonElement} */ (openers.get(facet.key)), facet);
}

/** @param {string} key of a dimension @returns {HTMLButtonElement} */
function makeOpener(key) {
  let closing = false; // pressing it while its list is open closes the list, and does not open it again
  const opener = button("", () => {
    const facet = facets().find((each) => each.key === key);
    if (facet && !closing) openValues(opener, facet);
    closing = false;
  }, "facet");
  opener.setAttribute("aria-haspopup", "dialog");
  opener.addEventListener("pointerdown", () => { closing = $("values").matches(":popover-open") && $("values").dataset.opener === key; });
  return opener;
}

/** @param {HTMLButtonElement} opener @param {import("./filter.js").Facet} facet */
function showOpener(opener, facet) {
  const hidden = app.view.filter.hidden.get(facet.key);
  const left = facet.values.length - (hidden?.size ?? 0);
  const text = !hidden ? "" : left === 1 ? facet.titles[facet.values.findIndex((value) => !hidden.has(value))] : `${left} of ${facet.values.length}`;
  opener.replaceChildren(own(facet.name), ...(text ? [make("small", "", own(text))] : []));
  opener.setAttribute("aria-pressed", String(Boolean(hidden)));
}

/** @param {HTMLElement} opener @param {import("./filter.js").Facet} facet */
function openValues(opener, facet) {
  const panel = $("values");
  const counts = facet.count(Array.from({ length: dimension("state")?.of.length ?? 0 }, (_, tile) => tile));
  const rows = facet.values.map((value, at) => {
    const box = make("input");
    box.type = "checkbox";
    box.checked = !app.view.filter.hidden.get(facet.key)?.has(value);
    box.addEventListener("change", () => hide(facet, [value], !box.checked));
    const label = make("label", "", [box, ...(["state", "decision"].includes(facet.key) && value !== "undecided" ? [mark(value)] : []), make("span", "", own(facet.titles[at])), make("small", "", counts[at].toLocaleString("en"))]);
    label.dataset.state = value;
    const only = button("only", () => {
      app.view.filter.hidden.set(facet.key, new Set(facet.values.filter((other) => other !== value)));
      applyView();
      redraw();
    }, "linklike");
    only.setAttribute("aria-label", `only ${facet.titles[at]}`);
    const row = make("li", "", [label, only]);
    row.hidden = counts[at] === 0 && ["decision", "mark", "state"].includes(facet.key) && box.checked;
    return { row, box, value, text: (facet.titles[at] + " " + value).toLowerCase() };
  });
  const redraw = () => { for (const { box, value } of rows) box.checked = !app.view.filter.hidden.get(facet.key)?.has(value); };
  const all = button("All", () => {
    app.view.filter.hidden.delete(facet.key);
    applyView();
    redraw();
  }, "linklike");
  const none = button("None", () => {
    app.view.filter.hidden.set(facet.key, new Set(facet.values));
    applyView();
    redraw();
  }, "linklike");
  const search = make("input");
  search.type = "search";
  search.setAttribute("aria-label", `Find in ${facet.name}`);
  search.placeholder = "Find";
  search.addEventListener("input", () => { for (const { row, text } of rows) row.hidden = !text.includes(search.value.toLowerCase()); });
  panel.replaceChildren(make("p", "values-head", [make("b", "", own(facet.name)), all, none]), ...(rows.length > MANY ? [search] : []), make("ul", "", rows.map(({ row }) => row)));
  // The button is there before the first mark is: else it would push the others away from under the mouse.
  if (facet.key === "mark" && !anyMark()) panel.append(make("p", "aside", "Nothing here has stars or a note yet."));
  panel.setAttribute("aria-label", `Show ${facet.name}`);
  if (!panel.matches(":popover-open")) panel.showPopover();
  const box = opener.getBoundingClientRect();
  panel.style.left = `${Math.max(8, Math.min(box.left, innerWidth - panel.offsetWidth - 8))}px`;
  panel.style.top = `${box.bottom + 6}px`;
  panel.style.maxHeight = `${Math.max(160, innerHeight - box.bottom - 20)}px`;
  panel.dataset.opener = facet.key;
  panel.querySelector("input")?.focus();
}

/** @param {import("./filter.js").Facet} facet @param {string[]} values @param {boolean} on */
function hide(facet, values, on) {
  const hidden = new Set(app.view.filter.hidden.get(facet.key));
  for (const value of values) {
    if (on) hidden.add(value);
    else hidden.delete(value);
  }
  if (hidden.size) app.view.filter.hidden.set(facet.key, hidden);
  else app.view.filter.hidden.delete(facet.key);
  applyView();
}

function applyView() {
  applyFilter();
  showAnew();
  showCount();
  showFacets();
}

/** Show everything again. */
export function clearFilter() {
  app.view.filter = { words: "", hidden: new Map() };
  $("query").value = "";
  applyFilter();
  showAnew();
  showTools();
}

/** @param {() => void} onChange shows the sheet anew */
export function startTools(onChange) {
  showAnew = onChange;
  $("bar").hidden = false;
  $("tools").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  $("query").addEventListener("input", () => {
    app.view.filter.words = $("query").value;
    applyView();
  });
  $("query").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" || event.key === "Enter") focusPicture();
  });
  $("clear").addEventListener("click", () => {
    clearFilter();
    focusPicture();
  });
  $("refresh").addEventListener("click", refreshFilter);
  $("size").addEventListener("input", () => {
    app.view.height = Number($("size").value);
    showAnew();
  });
  for (const axis of /** @type {const} */ (["bands", "down", "across"])) {
    $("axis-" + axis).addEventListener("change", () => {
      app.view.axes = distinct({ ...app.view.axes, [axis]: $("axis-" + axis).value }, axis);
      showAnew();
      showTools();
    });
  }
  onDecision(() => {
    showOutdated();
    showFacets();
  });
}

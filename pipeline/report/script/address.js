/**
 * The view as it stands in the page's address, so that a link opens the same: `#bands=product&down=vary.scene&across=ratio`,
 * `height=240`, `q=words`, `hide.prompt=hero` (once for each hidden value) or `show.decision=rejected` (all but these are
 * hidden), `open=label` (the lightbox).
 */

import { facets } from "./filter.js";
import { axisKeys, usualAxes } from "./pivot.js";

/**
 * @typedef {import("./pivot.js").Axes} Axes
 * @typedef {import("./filter.js").Filter} Filter
 * @typedef {{axes: Axes, filter: Filter, height: number, open: string}} View height: of a picture, 0 for what suits
 */

const AXES = /** @type {const} */ (["bands", "down", "across"]);

/** @param {string} key @returns {string[]} all values that the filter of a dimension knows */
function valuesOf(key) {
  return facets().find((each) => each.key === key)?.values ?? [];
}

/** @returns {View} from the address; what is not said there as it usually is */
export function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const known = new Set(axisKeys());
  const said = AXES.map((axis) => parts.get(axis)).filter((key) => key);
  const axes = usualAxes();
  for (const axis of AXES) {
    const key = parts.get(axis);
    if (key === "" || (key && known.has(key))) axes[axis] = key;
    else if (said.includes(axes[axis])) axes[axis] = ""; // what the address puts elsewhere goes there
  }
  const hidden = new Map();
  for (const key of new Set([...parts.keys()].filter((name) => /^(hide|show)\./.test(name)).map((name) => name.slice(5)))) {
    const shown = parts.getAll("show." + key);
    const all = valuesOf(key);
    const left = shown.length ? all.filter((value) => !shown.includes(value)) : parts.getAll("hide." + key).filter((value) => all.includes(value));
    if (left.length) hidden.set(key, new Set(left));
  }
  const height = Number(parts.get("height"));
  return {
    axes: distinct(axes),
    filter: { words: parts.get("q") ?? "", hidden },
    height: height >= 60 && height <= 800 ? height : 0,
    open: parts.get("open") ?? "",
  };
}

/** @param {Axes} axes @param {keyof Axes} [last] chosen last: it wins @returns {Axes} with every dimension on one axis only */
export function distinct(axes, last) {
  const taken = new Set(last && axes[last] ? [axes[last]] : []);
  const result = { ...axes };
  for (const axis of AXES) {
    if (axis === last || !result[axis]) continue;
    if (taken.has(result[axis])) result[axis] = "";
    taken.add(result[axis]);
  }
  return result;
}

/** @param {View} view */
export function writeAddress(view) {
  const parts = new URLSearchParams();
  const usual = usualAxes();
  for (const axis of AXES) if (view.axes[axis] !== usual[axis]) parts.set(axis, view.axes[axis]);
  if (view.height) parts.set("height", String(view.height));
  if (view.filter.words.trim()) parts.set("q", view.filter.words.trim());
  for (const [key, values] of view.filter.hidden) {
    const shown = valuesOf(key).filter((value) => !values.has(value));
    const [name, list] = shown.length && shown.length < values.size ? ["show.", shown] : ["hide.", [...values]];
    for (const value of list) parts.append(name + key, value);
  }
  if (view.open) parts.set("open", view.open);
  const hash = parts.toString();
  if (hash === location.hash.slice(1)) return;
  history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

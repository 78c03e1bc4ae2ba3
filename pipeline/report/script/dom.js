/** Making elements: text is always set as text, no markup is ever made from a string. */

/** @param {string} id @returns {any} the element of that id */
export const $ = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string | number | Node | (string | Node)[]} [content] text or nodes
 * @returns {any} a new element
 */
export function make(tag, className = "", content = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (Array.isArray(content)) element.append(...content);
  else if (content !== "") element.append(content instanceof Node ? content : String(content));
  return element;
}

/** What people wrote, which has a direction of its own: a Hebrew name in an English line. @param {string} text @returns {any} */
export function own(text) {
  return make("bdi", "", text);
}

/** @param {string} label @returns {any[]} its parts in their order, in whatever script each of them is */
export function path(label) {
  return label.split("/").flatMap((part, at) => [...(at ? ["/"] : []), own(part)]);
}

/** @param {string} change `scene: one → two` @returns {any[]} the same, before and after in their order */
export function sides(change) {
  return change.split(" → ").flatMap((part, at) => [...(at ? [" → "] : []), own(part)]);
}

/** @param {string | any[]} text @param {() => void} act @param {string} [className] @returns {HTMLButtonElement} */
export function button(text, act, className = "") {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

/** @param {string} tag @param {Object<string, string | number>} attributes @returns {SVGElement} a new element of a drawing */
export function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** @param {string} name of a symbol in the page: a state, a decision @returns {SVGElement} its mark */
export function mark(name) {
  const svg = shape("svg", { class: "mark", "aria-hidden": "true", viewBox: "0 0 16 16" });
  svg.append(shape("use", { href: "#mark-" + name }));
  return svg;
}

/** @param {number} number @param {string} word @returns {string} `1 picture`, `12 pictures` */
export function count(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

/** @param {number} seconds Unix time @returns {string} in UTC, as the head says it */
export function moment(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

/** @returns {HTMLDialogElement | undefined} the open dialog that is on top */
export function topDialog() {
  return /** @type {HTMLDialogElement | undefined} */ ([...document.querySelectorAll("dialog[open]")].at(-1));
}

/** @param {string} text for those who listen with a screen reader: what the eyes see at the picture */
export function hear(text) {
  const region = (topDialog() ?? document).querySelector(".heard"); // what is outside of an open dialog is not heard
  region?.replaceChildren(text);
}

/** @param {string} text shown for a moment, and read out by a screen reader @param {string} [name] of a button @param {() => void} [act] */
export function say(text, name = "", act = () => {}) {
  const toast = $("toast");
  // Under an open dialog nobody sees or hears it.
  const home = topDialog() ?? document.body;
  if (toast.parentElement !== home) home.append(toast);
  toast.replaceChildren(text, ...(name ? [" ", button(name, act)] : []));
  toast.hidden = !text;
  clearTimeout(Number(toast.dataset.timer));
  toast.dataset.timer = String(setTimeout(() => { toast.hidden = true; }, name ? 12_000 : 4000));
}

/** @param {any} element shows `Copied` for a moment @param {string} text to the clipboard */
export async function copyText(element, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from a file may not use the clipboard: copy as browsers always could.
    const area = make("textarea", "sr", text);
    (element.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    element.focus();
  }
  const before = element.dataset.before ??= element.textContent;
  element.textContent = "Copied";
  setTimeout(() => { element.textContent = before; }, 1500);
}

/** @param {string} text @returns {string} as one word for a shell */
export function shellWord(text) {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {any} element @returns {boolean} whether keys typed there are text */
export function takesText(element) {
  return element instanceof HTMLElement && element.matches("input:not([type=range],[type=checkbox],[type=radio]), textarea, select");
}

/**
 * The contact sheet's behaviour: filter, size of the pictures, lightbox. The page is complete without it.
 * Everything shown comes from one JSON block and is set as text; no markup is ever made from a string.
 */
(() => {
  "use strict";

  /**
   * @typedef {{label: string, format: string, href: ?string, size: string, state: string}} File
   * @typedef {{take: number, href: ?string, when: string}} Earlier
   * @typedef {{name: string, source: string, digest: string, role: ?string, thumb: ?string}} Reference
   * @typedef {{label: string, product: string, tags: string[], prompt: string, ratio: string, state: string,
   *   reason: string, text: number, slots: number[], box: number[], original: ?string, facts: string[][],
   *   files: File[], earlier: Earlier[]}} Tile
   */

  /** @param {string} id @returns {any} the element of that id */
  const $ = (id) => document.getElementById(id);

  /** @type {{texts: string[], references: Reference[], tiles: Tile[]}} */
  const data = JSON.parse($("data").textContent);
  const elements = [...document.querySelectorAll(".tile")].sort((a, b) => indexOf(a) - indexOf(b));
  const sections = [...document.querySelectorAll(".product")].map(readSection);
  const FACETS = ["state", "prompt", "ratio"];

  /** Tile numbers in reading order, and those of them that pass the filter. */
  const order = sections.flatMap((section) => section.groups.flatMap((group) => group.tiles));
  let visible = order;

  /** @param {any} element @returns {number} the number of the tile an element stands for */
  function indexOf(element) {
    return Number(element.dataset.index);
  }

  /** @param {Element} element @returns {{element: any, groups: {element: any, count: any, tiles: number[]}[]}} */
  function readSection(element) {
    const groups = [...element.querySelectorAll(".group")].map((group) => ({
      element: group,
      count: group.querySelector("h3 small"),
      tiles: [...group.querySelectorAll(".tile")].map(indexOf),
    }));
    return { element, groups };
  }

  /**
   * @param {string} tag
   * @param {string} [text]
   * @param {string} [className]
   * @returns {any} a new element holding text, never markup
   */
  function make(tag, text = "", className = "") {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  /** @param {string} source a data: URI @param {string} alt @returns {HTMLImageElement} */
  function makeImage(source, alt) {
    const image = document.createElement("img");
    image.alt = alt;
    image.width = image.height = 84;
    image.src = source;
    return image;
  }

  /** @param {string} state @returns {SVGElement} the mark of a state */
  function makeMark(state) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.setAttribute("class", "mark");
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", "#mark-" + state);
    svg.append(use);
    return svg;
  }

  // ---- Filter ----

  /** What can be searched of each tile, in lower case; made at the first search. @type {string[]} */
  let haystack = [];

  /** @returns {string[]} */
  function makeHaystack() {
    return data.tiles.map((tile) =>
      [tile.label, tile.product, ...tile.tags, tile.prompt, data.texts[tile.text]].join("\n").toLowerCase());
  }

  /** @returns {{words: string[], facets: Map<string, Set<string>>}} the filter as it stands in the tools */
  function readFilter() {
    const facets = new Map(FACETS.map((facet) => [facet, new Set()]));
    for (const chip of document.querySelectorAll('.chip[aria-pressed="true"]')) {
      facets.get(chip.dataset.facet)?.add(chip.dataset.value);
    }
    return { words: $("query").value.toLowerCase().split(/\s+/).filter(Boolean), facets };
  }

  /** @param {number} index @param {ReturnType<typeof readFilter>} filter @returns {boolean} */
  function passes(index, filter) {
    const tile = data.tiles[index];
    return FACETS.every((facet) => !filter.facets.get(facet).size || filter.facets.get(facet).has(tile[facet])) &&
      filter.words.every((word) => haystack[index].includes(word));
  }

  /** Show what passes the filter, hide empty sections, count, and keep the filter in the address. */
  function applyFilter() {
    const filter = readFilter();
    const active = filter.words.length > 0 || [...filter.facets.values()].some((values) => values.size);
    if (filter.words.length && !haystack.length) haystack = makeHaystack();
    const before = visible;
    visible = active ? order.filter((index) => passes(index, filter)) : order;
    const shown = new Set(visible);
    if (visible !== before) for (const section of sections) fitSection(section, shown);
    $("clear").hidden = !active;
    $("empty").hidden = visible.length > 0;
    $("count").value = active
      ? `${visible.length.toLocaleString("en")} of ${order.length.toLocaleString("en")}`
      : `${order.length.toLocaleString("en")} ${order.length === 1 ? "picture" : "pictures"}`;
    writeAddress(filter);
  }

  /** Hide what is not in `shown` and make a section as wide as what is left. */
  function fitSection(section, shown) {
    let total = 0, gaps = 0, breaks = -1;
    for (const group of section.groups) {
      const left = group.tiles.filter((index) => shown.has(index));
      for (const index of group.tiles) elements[index].hidden = !shown.has(index);
      group.element.hidden = !left.length;
      group.count.textContent = String(left.length);
      if (!left.length) continue;
      const width = left.reduce((sum, index) => sum + ratioOf(data.tiles[index].box), 0);
      setExtent(group.element, width, left.length - 1, 0);
      total += width;
      gaps += left.length - 1;
      breaks += 1;
    }
    section.element.hidden = breaks < 0;
    setExtent(section.element, total, gaps, Math.max(0, breaks));
  }

  /** @param {number[]} box @returns {number} width ÷ height, rounded up to a hundredth as in the style sheet */
  function ratioOf([width, height]) {
    return Math.ceil(100 * width / height) / 100;
  }

  /** Give a section the measures that the style sheet turns into its width. */
  function setExtent(element, width, gaps, breaks) {
    element.style.setProperty("--w", width.toFixed(2));
    element.style.setProperty("--g", String(gaps));
    element.style.setProperty("--b", String(breaks));
  }

  /** @param {ReturnType<typeof readFilter>} filter */
  function writeAddress(filter) {
    const parts = new URLSearchParams();
    const query = $("query").value.trim();
    if (query) parts.set("q", query);
    for (const [facet, values] of filter.facets) for (const value of values) parts.append(facet, value);
    const hash = parts.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  }

  /** Set the tools from the address. */
  function readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    $("query").value = parts.get("q") ?? "";
    for (const chip of document.querySelectorAll(".chip")) {
      press(chip, parts.getAll(chip.dataset.facet).includes(chip.dataset.value));
    }
  }

  /** @param {any} chip @param {boolean} on */
  function press(chip, on) {
    chip.setAttribute("aria-pressed", String(on));
  }

  /** Show everything again. */
  function clearFilter() {
    $("query").value = "";
    for (const chip of document.querySelectorAll(".chip")) press(chip, false);
    applyFilter();
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ($("lightbox").open) onBoxKey(event);
    else if (event.key === "/" && document.activeElement !== $("query")) {
      event.preventDefault();
      $("query").focus();
      $("query").select();
    } else if (event.key === "Escape") {
      event.preventDefault();
      clearFilter();
    }
  }

  /** Wire the filter and the size of the pictures. */
  function startTools() {
    $("tools").hidden = false;
    $("tools").addEventListener("submit", (event) => event.preventDefault());
    $("tools").addEventListener("click", (event) => {
      const chip = event.target.closest(".chip");
      if (!chip) return;
      press(chip, chip.getAttribute("aria-pressed") !== "true");
      applyFilter();
    });
    $("query").addEventListener("input", applyFilter);
    $("clear").addEventListener("click", clearFilter);
    addEventListener("keydown", onKey);
    addEventListener("hashchange", () => { readAddress(); applyFilter(); });
    $("zoom").value = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--h"), 10);
    $("zoom").addEventListener("input", () => document.documentElement.style.setProperty("--h", $("zoom").value + "px"));
    readAddress();
    applyFilter();
  }

  // ---- Lightbox ----

  /** The tile shown large, or -1. */
  let current = -1;

  /** @param {number} index of a tile */
  function show(index) {
    const tile = data.tiles[index];
    const at = visible.indexOf(index);
    current = index;
    $("box-title").textContent = tile.product + " · " + tile.prompt;
    $("box-label").textContent = tile.label;
    $("box-position").textContent = `${at + 1} / ${visible.length}`;
    $("box-back").setAttribute("aria-disabled", String(at <= 0));
    $("box-on").setAttribute("aria-disabled", String(at >= visible.length - 1));
    showPicture(index, tile);
    showTrouble(tile);
    showPrompt(tile);
    showReferences(tile);
    fill($("box-files"), tile.files.map(makeFile));
    fill($("box-earlier"), tile.earlier.map(makeEarlier));
    $("box-facts").replaceChildren(...tile.facts.flatMap(makeFact));
    $("box-panel").scrollTop = $("lightbox").scrollTop = 0;
  }

  /** Fill a list and hide its section when there is nothing in it. */
  function fill(list, items) {
    list.replaceChildren(...items);
    list.closest("section").hidden = !items.length;
  }

  /** Show the small picture at once and the original as soon as it is there. */
  function showPicture(index, tile) {
    const small = elements[index].querySelector(".picture img");
    const picture = $("box-picture");
    picture.hidden = !small && !tile.original;
    picture.alt = small ? small.alt : tile.label;
    picture.dataset.shows = small ? "thumb" : "nothing";
    if (small) picture.src = small.src;
    else picture.removeAttribute("src");
    showNote(!tile.original && small ? "Small preview: there is no file of this picture beside the sheet." : "");
    showBlank(small || tile.original ? "" : tile.state, tile.reason);
    if (tile.original) loadOriginal(index, tile, Boolean(small));
  }

  /** Put the original in place of the small picture, or say why not; late answers are dropped. */
  function loadOriginal(index, tile, small) {
    const original = new Image();
    const picture = $("box-picture");
    original.addEventListener("load", () => {
      if (current !== index) return;
      picture.src = original.src;
      picture.dataset.shows = "original";
    });
    original.addEventListener("error", () => {
      if (current !== index) return;
      const missing = "The original file cannot be opened from here";
      if (small) showNote(missing + "; this is the small preview.");
      else {
        picture.hidden = true;
        showBlank("missing", missing + ".");
      }
    });
    original.src = tile.original;
  }

  /** @param {string} text of the note over the picture; empty for none */
  function showNote(text) {
    $("box-note").textContent = text;
    $("box-note").hidden = !text;
  }

  /** Say on the empty stage why there is no picture; an empty state clears it. */
  function showBlank(state, reason) {
    const blank = $("box-blank");
    blank.hidden = !state;
    blank.dataset.state = state;
    if (!state) return;
    const name = make("span", state === "done" ? "No preview" : capital(state), "state");
    name.prepend(makeMark(state));
    blank.replaceChildren(name, make("span", reason));
  }

  /** @param {string} word */
  function capital(word) {
    return word.charAt(0).toUpperCase() + word.slice(1);
  }

  /** Say what is wrong, unless the empty stage says it already. @param {Tile} tile */
  function showTrouble(tile) {
    const trouble = $("box-trouble");
    trouble.hidden = tile.state === "done" || !$("box-blank").hidden;
    trouble.dataset.state = tile.state;
    trouble.textContent = capital(tile.state) + (tile.reason ? ": " + tile.reason : "");
  }

  /** Show the rendered prompt, every slot highlighted beside the reference it names. */
  function showPrompt(tile) {
    const parts = data.texts[tile.text].split(/(@Image\d*(?!\w))/);
    $("box-text").replaceChildren(...parts.map((part, at) => (at % 2 ? makeSlot(part, tile) : part)));
  }

  /** @param {string} name as written: `@Image2`, or `@Image` for the only one @param {Tile} tile */
  function makeSlot(name, tile) {
    const slot = make("mark", name, "slot");
    const reference = data.references[tile.slots[Number(name.slice(6) || 1) - 1]];
    slot.title = reference ? reference.name : "no such reference";
    if (reference?.thumb) slot.prepend(makeImage(reference.thumb, ""));
    return slot;
  }

  /** @param {Tile} tile */
  function showReferences(tile) {
    fill($("box-references"), tile.slots.map((number, at) => {
      const reference = data.references[number];
      const item = make("li");
      if (!reference) return item;
      const name = make("p");
      name.append(make("b", `@Image${at + 1}`), " " + reference.name);
      item.title = [reference.source, reference.digest].filter(Boolean).join("\n");
      item.append(
        reference.thumb ? makeImage(reference.thumb, reference.name) : make("span", "no preview", "none"),
        name,
        make("p", reference.role ?? ""),
      );
      return item;
    }));
  }

  /** @param {File} file */
  function makeFile(file) {
    const item = make("li");
    item.dataset.state = file.state;
    item.title = file.label;
    item.append(makeLink(file.href, file.format), make("span", file.state === "done" ? file.size : file.state));
    return item;
  }

  /** @param {Earlier} earlier */
  function makeEarlier(earlier) {
    const item = make("li");
    item.append(makeLink(earlier.href, `Take ${earlier.take}`), make("span", earlier.when));
    return item;
  }

  /** @param {?string} href relative, made by the report @param {string} text */
  function makeLink(href, text) {
    if (!href) return make("span", text);
    const link = make("a", text);
    link.href = href;
    link.target = "_blank";
    link.rel = "noopener";
    return link;
  }

  /** @param {string[]} fact name and value */
  function makeFact([name, value]) {
    return [make("dt", name), make("dd", value, name === "Key" ? "key" : "")];
  }

  /** @param {number} at place among the visible tiles */
  function leaf(at) {
    const index = visible[Math.min(Math.max(at, 0), visible.length - 1)];
    if (index !== undefined && index !== current) show(index);
  }

  /** @param {KeyboardEvent} event without modifiers; wherever the focus is, for a click may have taken it */
  function onBoxKey(event) {
    const at = visible.indexOf(current);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: visible.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    leaf(to);
  }

  /** Copy the text of the element a button names; select it where the clipboard is closed to us. */
  async function copy(button) {
    const source = $(button.dataset.copy);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  }

  /** Wire the lightbox. */
  function startLightbox() {
    const box = $("lightbox");
    document.querySelector("main").addEventListener("click", (event) => {
      const picture = event.target.closest(".picture");
      if (!picture || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(indexOf(picture.closest(".tile")));
      box.showModal();
      $("box-panel").focus({ preventScroll: true });
    });
    box.addEventListener("close", () => {
      elements[current]?.querySelector(".picture").focus();
      current = -1;
    });
    box.addEventListener("click", (event) => {
      const button = event.target.closest(".copy");
      if (button) copy(button);
    });
    $("box-close").addEventListener("click", () => box.close());
    $("box-back").addEventListener("click", () => leaf(visible.indexOf(current) - 1));
    $("box-on").addEventListener("click", () => leaf(visible.indexOf(current) + 1));
  }

  startTools();
  startLightbox();
})();

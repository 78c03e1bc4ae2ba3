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
   * @typedef {{label: string, product: string, words: string[], facets: Object<string, string[]>, state: string,
   *   prompt: string, reason: string, text: number, slots: number[], box: number[], original: ?string,
   *   facts: string[][], key: string, files: File[], earlier: Earlier[]}} Tile
   * @typedef {{element: any, tiles: number[]}} Row
   * @typedef {{element: any, rows: Row[]}} Run
   * @typedef {{element: any, count: any, box: any, runs: Run[]}} Group
   * @typedef {{element: any, groups: Group[]}} Section
   */

  /** @param {string} id @returns {any} the element of that id */
  const $ = (id) => document.getElementById(id);

  /** @type {{texts: string[], references: Reference[], tiles: Tile[]}} */
  const data = JSON.parse($("data").textContent);
  const elements = [...document.querySelectorAll(".tile")].sort((a, b) => indexOf(a) - indexOf(b));
  const sections = [...document.querySelectorAll(".product")].map(readSection);
  const chips = [...document.querySelectorAll(".chip")];

  /** Tile numbers in reading order, and those of them that pass the filter. */
  const order = sections.flatMap((section) => section.groups.flatMap(tilesOf));
  let visible = order;

  /** @param {any} element @returns {number} the number of the tile an element stands for */
  function indexOf(element) {
    return Number(element.dataset.index);
  }

  /** @param {Element} element @returns {Section} */
  function readSection(element) {
    return { element, groups: [...element.querySelectorAll(".group")].map(readGroup) };
  }

  /** @param {Element} element @returns {Group} */
  function readGroup(element) {
    const runs = [...element.querySelectorAll(".run")].map((run) => ({
      element: run,
      rows: [...run.querySelectorAll(".row")].map((row) => ({ element: row, tiles: [...row.children].map(indexOf) })),
    }));
    return { element, count: element.querySelector("h3 small"), box: element.querySelector(".runs"), runs };
  }

  /** @param {Group} group @returns {number[]} its tiles in reading order */
  function tilesOf(group) {
    return group.runs.flatMap((run) => run.rows.flatMap((row) => row.tiles));
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
    return data.tiles.map((tile) => [
      tile.label, tile.product, ...tile.words, ...Object.values(tile.facets).flat(),
      ...tile.files.map((file) => file.format), data.texts[tile.text],
    ].join("\n").toLowerCase());
  }

  /** @returns {{words: string[], facets: Map<string, Set<string>>}} the filter as it stands in the tools */
  function readFilter() {
    const facets = new Map();
    for (const chip of chips) {
      if (chip.getAttribute("aria-pressed") !== "true") continue;
      if (!facets.has(chip.dataset.facet)) facets.set(chip.dataset.facet, new Set());
      facets.get(chip.dataset.facet).add(chip.dataset.value);
    }
    return { words: $("query").value.toLowerCase().split(/\s+/).filter(Boolean), facets };
  }

  /** @param {number} index @param {ReturnType<typeof readFilter>} filter @returns {boolean} */
  function passes(index, filter) {
    const facets = data.tiles[index].facets;
    for (const [facet, wanted] of filter.facets) {
      if (!facets[facet]?.some((value) => wanted.has(value))) return false;
    }
    return filter.words.every((word) => haystack[index].includes(word));
  }

  /** Show what passes the filter, hide empty sections, count, and keep the filter in the address. */
  function applyFilter() {
    const filter = readFilter();
    const active = filter.words.length > 0 || filter.facets.size > 0;
    if (filter.words.length && !haystack.length) haystack = makeHaystack();
    const before = visible;
    visible = active ? order.filter((index) => passes(index, filter)) : order;
    const shown = new Set(visible);
    if (visible !== before) for (const section of sections) fitSection(section, shown);
    $("clear").hidden = !active;
    $("empty").hidden = visible.length > 0;
    $("count").value = countText(active);
    writeAddress(filter);
  }

  /** @param {boolean} active whether anything is filtered @returns {string} how many pictures are shown */
  function countText(active) {
    const [some, all] = [visible, order].map((tiles) => new Set(tiles.map((index) => data.tiles[index].key)).size);
    const pictures = `${all.toLocaleString("en")} ${all === 1 ? "picture" : "pictures"}`;
    return active ? `${some.toLocaleString("en")} of ${pictures}` : pictures;
  }

  // ---- Layout: how wide a section is and how high its rows are ----

  /** @typedef {{width: number, gaps: number, parts: number}} Extent ratios added up, gaps, parts side by side */

  /** Hide what is not in `shown` and make a section as wide as what is left. @param {Section} section */
  function fitSection(section, shown) {
    const extent = { width: 0, gaps: 0, parts: 0 };
    for (const group of section.groups) {
      const left = fitGroup(group, shown);
      setExtent(group.element, left);
      group.count.textContent = String(left.width ? left.gaps + left.parts : 0);
      add(extent, left);
    }
    setExtent(section.element, extent);
  }

  /** @param {Group} group @param {Set<number>} shown @returns {Extent} */
  function fitGroup(group, shown) {
    const extent = { width: 0, gaps: 0, parts: 0 };
    for (const run of group.runs) {
      const left = { width: 0, gaps: -1, parts: 1 };
      for (const row of run.rows) fitRow(row, shown, left);
      setExtent(run.element, left);
      if (left.width) add(extent, left);
    }
    setHeight(group);
    return extent;
  }

  /** @param {Row} row @param {Set<number>} shown @param {Extent} extent to add the tiles to that are left */
  function fitRow(row, shown, extent) {
    let any = false;
    for (const index of row.tiles) {
      const on = shown.has(index);
      elements[index].hidden = !on;
      if (!on) continue;
      any = true;
      extent.width += ratioOf(data.tiles[index].box);
      extent.gaps += 1;
    }
    row.element.hidden = !any;
  }

  /** @param {Extent} sum @param {Extent} part */
  function add(sum, part) {
    sum.width += part.width;
    sum.gaps += part.gaps;
    sum.parts += part.parts;
  }

  /** @param {number[]} box @returns {number} width ÷ height, rounded up to a hundredth as in the style sheet */
  function ratioOf([width, height]) {
    return Math.ceil(100 * width / height) / 100;
  }

  /** Give an element the measures that the style sheet turns into its width. @param {Extent} extent */
  function setExtent(element, { width, gaps, parts }) {
    element.hidden = !width;
    element.style.setProperty("--w", width.toFixed(2));
    element.style.setProperty("--g", String(gaps));
    element.style.setProperty("--b", String(parts - 1));
  }

  /** The window's measures, in CSS pixels, and the row heights found for them so far. */
  const frame = { room: 0, high: 0, gap: 0, gulf: 0, most: 1, found: /** @type {Map<string, number>} */ (new Map()) };

  /** Measure the window, and when it has changed fit the rows of every group to it. */
  function fitRows() {
    const main = document.querySelector("main");
    const [inside, root] = [getComputedStyle(main), getComputedStyle(document.documentElement)];
    const [high, gap, gulf, most] = ["--h", "--gap", "--break", "--most"].map((name) =>
      parseFloat(root.getPropertyValue(name)));
    const room = main.clientWidth - parseFloat(inside.paddingLeft) - parseFloat(inside.paddingRight);
    if (room === frame.room && high === frame.high) return;
    Object.assign(frame, { room, high, gap, gulf, most, found: new Map() });
    for (const section of sections) section.groups.forEach(setHeight);
  }

  /** Give a group the height of row, near the usual one, that leaves no lone last picture. @param {Group} group */
  function setHeight(group) {
    const blocks = group.runs.flatMap((run) => run.rows)
      .map((row) => row.tiles.filter((index) => !elements[index].hidden).map((index) => ratioOf(data.tiles[index].box)))
      .filter((block) => block.length);
    const key = blocks.join("|");
    if (!frame.found.has(key)) frame.found.set(key, bestHeight(blocks));
    const high = frame.found.get(key);
    if (high === frame.high) group.box.style.removeProperty("--h");
    else group.box.style.setProperty("--h", high.toFixed(1) + "px");
  }

  /** @param {number[][]} blocks the ratios of pictures that wrap together @returns {number} the best height of row */
  function bestHeight(blocks) {
    let [best, least] = [frame.high, cost(blocks, frame.high)];
    const offer = (/** @type {number} */ high) => {
      const paid = cost(blocks, high);
      if (paid < least) [best, least] = [high, paid];
    };
    for (let percent = 112; percent >= 72 && least; percent -= 1) offer(frame.high * percent / 100);
    const stretched = rowsAt(blocks, best).map((row) => row.high).filter((high) => high > best);
    if (stretched.length) offer(Math.min(...stretched) - 0.2);
    return best;
  }

  /**
   * @param {number[][]} blocks
   * @param {number} high
   * @returns {number} how far rows of that height are from even: lone and ragged ends, heights that differ from each
   *   other and from the usual one; 0 for a single row as high as wanted
   */
  function cost(blocks, high) {
    const rows = rowsAt(blocks, high);
    if (rows.length === 1 && high === frame.high) return 0;
    const heights = rows.map((row) => row.high);
    const lone = rows.filter((row) => row.count === 1 && row.used < 0.6 * frame.room).length;
    const bare = rows.reduce((sum, row) => sum + 1 - row.used / frame.room, 0) / rows.length;
    const off = heights.reduce((sum, each) => sum + Math.abs(Math.log(each / frame.high)), 0) / rows.length;
    return (rows.length > 1 ? lone : 0) + Math.log(Math.max(...heights) / Math.min(...heights)) + off / 2 + bare / 2;
  }

  /**
   * Wrap as the style sheet does: narrow blocks side by side, wide ones over rows that are stretched but the last.
   * @param {number[][]} blocks
   * @param {number} high
   * @returns {{used: number, count: number, high: number}[]} every row's width, number of pictures and height
   */
  function rowsAt(blocks, high) {
    const rows = [];
    let open = null;
    for (const block of blocks) {
      const wide = widthOf(block, high) + 2;
      if (wide > frame.room) {
        rows.push(...wrap(block, high));
        open = null;
      } else if (open && open.used + frame.gulf + wide <= frame.room) {
        open.used += frame.gulf + wide;
        open.count += block.length;
      } else {
        open = { used: wide, count: block.length, high };
        rows.push(open);
      }
    }
    return rows;
  }

  /** @param {number[]} block @param {number} high @returns {ReturnType<typeof rowsAt>} */
  function wrap(block, high) {
    const lines = [[]];
    for (const ratio of block) {
      const line = lines[lines.length - 1];
      if (line.length && widthOf([...line, ratio], high) > frame.room) lines.push([ratio]);
      else line.push(ratio);
    }
    return lines.map((line, at) => {
      const full = (frame.room - (line.length - 1) * frame.gap) / line.reduce((sum, ratio) => sum + ratio, 0);
      const grown = Math.min(full, at < lines.length - 1 ? high * frame.most : high);
      return { used: widthOf(line, grown), count: line.length, high: grown };
    });
  }

  /** @param {number[]} ratios @param {number} high @returns {number} the width of a row */
  function widthOf(ratios, high) {
    return ratios.reduce((sum, ratio) => sum + ratio * high, 0) + (ratios.length - 1) * frame.gap;
  }

  // ---- Tools ----

  /** @param {ReturnType<typeof readFilter>} filter */
  function writeAddress(filter) {
    const parts = new URLSearchParams();
    const query = $("query").value.trim();
    if (query) parts.set("q", query);
    for (const [facet, values] of filter.facets) for (const value of values) parts.append(facet, value);
    const hash = parts.toString();
    if (hash === location.hash.slice(1)) return;
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  }

  /** Set the tools from the address. */
  function readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    $("query").value = parts.get("q") ?? "";
    for (const chip of chips) {
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
    for (const chip of chips) press(chip, false);
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
    $("zoom").addEventListener("input", () => {
      document.documentElement.style.setProperty("--h", $("zoom").value + "px");
      fitRows();
    });
    fitRows();
    readAddress();
    applyFilter();
    new ResizeObserver(fitRows).observe(document.querySelector("main"));
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

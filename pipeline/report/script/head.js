/** The head of a page that follows a run: its figures, the bar of states, what is to be known of all pictures. */

import { sheet } from "./data.js";
import { $, shape, make } from "./dom.js";

/** Show what the sheet says now. */
export function showHead() {
  $("totals").replaceChildren(...sheet.totals.map(({ name, value, tone }) => {
    const total = make("div", "", [make("dt", "", name), make("dd", "", value)]);
    if (tone) total.dataset.state = tone;
    return total;
  }));
  $("states").replaceChildren(...sheet.bar.map(([state, start, length]) => {
    const part = shape("rect", { x: start, y: 0, width: length, height: 2 });
    part.dataset.state = state;
    return part;
  }));
  $("notice").textContent = sheet.notice;
  $("notice").hidden = !sheet.notice;
}

/** The head: its figures, with what was decided here; the bar of states; what is to be known of all pictures. */

import { sheet } from "./data.js";
import { tally } from "./decisions.js";
import { $, make, shape } from "./dom.js";

/** Show what the sheet says now. */
export function showHead() {
  const { approved, rejected } = tally();
  const decided = [["approved", approved], ["rejected", rejected]].filter(([, number]) => number)
    .map(([name, number]) => ({ name: String(name), value: number.toLocaleString("en"), tone: String(name) }));
  const made = sheet.totals.filter(({ name }) => !["approved", "rejected"].includes(name));
  const at = made.findIndex(({ value }) => value.startsWith("$")); // money stands last
  made.splice(at < 0 ? made.length : at, 0, ...decided);
  $("totals").replaceChildren(...made.map(({ name, value, tone }) => {
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

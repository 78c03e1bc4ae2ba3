/** A page that `pipeline review` serves: decisions go straight into the file, and the sheet follows a run. */

import { replaceSheet, sheet } from "./data.js";
import { onDecision, refreshDecisions } from "./decisions.js";
import { $, say } from "./dom.js";
import { asDocument, fresh } from "./exchange.js";
import { forgetSearch } from "./filter.js";
import { NAMELESS, reviewer } from "./keeping.js";

const EVERY = 2000;
const SMALL = 60_000; // bytes; browsers send no more than 64 KiB of a page that is being left
const ENDED = "pipeline review has ended";

/** Decisions that the server has, each as one line. @type {Set<string>} */
const sent = new Set();
let lost = false; // the last time, it did not take them

/** @param {() => void} changed shows the sheet anew */
export function startLive(changed) {
  if (!sheet.served) return;
  const { decisions, data } = sheet.served;
  let waiting = 0;
  onDecision(() => {
    $("saved").textContent = "Saving …";
    clearTimeout(waiting);
    waiting = setTimeout(() => void save(decisions), 300);
  });
  addEventListener("pagehide", () => void save(decisions));
  // The next `pipeline review` has another address, and with it another storage.
  addEventListener("beforeunload", (event) => { if (unsent().length >= (lost ? 1 : 100)) event.preventDefault(); });
  void followRun(data, changed);
}

/** @returns {import("./decisions.js").Decision[]} */
function unsent() {
  return fresh(reviewer() || NAMELESS).filter((each) => !sent.has(JSON.stringify(each)));
}

/** @param {string} address */
async function save(address) {
  const name = reviewer() || NAMELESS;
  const decisions = unsent();
  if (!decisions.length) return void ($("saved").textContent = "");
  const body = new Blob([JSON.stringify(asDocument(name, decisions))], { type: "application/json" });
  $("saved").textContent = "Saving …";
  try {
    const answer = await fetch(address, { method: "POST", body, keepalive: body.size < SMALL });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`);
    for (const each of decisions) sent.add(JSON.stringify(each));
    lost = false;
    $("saved").textContent = unsent().length ? "Saving …" : `Saved in approvals.yaml as ${name}`;
  } catch (error) {
    lost = true;
    $("saved").textContent = "Not saved";
    say(`Not saved: ${error instanceof Error ? error.message : error}. If pipeline review has ended, export your decisions (E) before you leave.`);
  }
}

/** Ask for what is newer, again and again. @param {string} address @param {() => void} changed */
async function followRun(address, changed) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (document.hidden) continue;
    try {
      const answer = await fetch(`${address}?since=${sheet.serial}`);
      if (answer.status === 404) throw new Error("another pipeline review answers there now");
      if ($("saved").textContent?.startsWith(ENDED)) $("saved").textContent = "";
      if (lost) void save(/** @type {{decisions: string}} */ (sheet.served).decisions);
      if (answer.status !== 200) continue;
      replaceSheet(await answer.json());
      forgetSearch();
      refreshDecisions();
      changed();
    } catch {
      $("saved").textContent = ENDED + (unsent().length ? "; not all is saved" : "");
    }
  }
}

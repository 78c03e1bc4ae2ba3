/** A page that `pipeline review` serves: decisions go straight into the file, and the sheet follows a run. */

import { replaceSheet, sheet } from "./data.js";
import { exported, mineSince, onDecision, refreshDecisions, reviewer } from "./decisions.js";
import { $, say } from "./dom.js";
import { forgetSearch } from "./filter.js";

const EVERY = 2000;
let saved = ""; // when the last decision that the server has was made

/** @param {() => void} changed shows the sheet anew */
export function startLive(changed) {
  if (!sheet.served) return;
  const { decisions, data } = sheet.served;
  let waiting = 0;
  onDecision(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => void save(decisions), 300);
  });
  addEventListener("pagehide", () => { if (waiting) void save(decisions); });
  void followRun(data, changed);
}

/** @param {string} address */
async function save(address) {
  const name = reviewer() || "reviewer";
  const decisions = mineSince(saved, name);
  if (!decisions.length) return;
  $("saved").textContent = "Saving …";
  try {
    const answer = await fetch(address, {
      method: "POST", body: JSON.stringify(exported(name, decisions)), headers: { "Content-Type": "application/json" }, keepalive: decisions.length < 100,
    });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`);
    saved = decisions.reduce((last, { when }) => (when > last ? when : last), saved);
    $("saved").textContent = `Saved in approvals.yaml as ${name}`;
  } catch (error) {
    $("saved").textContent = "Not saved";
    say(`Not saved: ${error instanceof Error ? error.message : error}. It stays in this browser; is pipeline review still running?`);
  }
}

/** Ask for what is newer, again and again. @param {string} address @param {() => void} changed */
async function followRun(address, changed) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (document.hidden) continue;
    try {
      const answer = await fetch(`${address}?since=${sheet.serial}`);
      if (answer.status !== 200) continue;
      replaceSheet(await answer.json());
      forgetSearch();
      refreshDecisions();
      changed();
    } catch {
      $("saved").textContent = "pipeline review has ended";
    }
  }
}

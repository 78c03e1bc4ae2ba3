/** A page that `pipeline review` serves: decisions go straight into the file, and the sheet follows a run. */

import { replaceSheet, sheet } from "./data.js";
import { exported, onDecision, refreshDecisions, reviewer } from "./decisions.js";
import { $, say } from "./dom.js";
import { forgetSearch } from "./filter.js";

const EVERY = 2000;

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
  $("saved").textContent = "Saving …";
  try {
    const answer = await fetch(address, {
      method: "POST", body: JSON.stringify(exported(reviewer() || "reviewer")), headers: { "Content-Type": "application/json" }, keepalive: false,
    });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`);
    $("saved").textContent = "Saved in approvals.yaml";
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

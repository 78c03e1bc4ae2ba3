/** The review: how far it is, handing decisions on, taking others' in, and where reviewers differ. */

import { approveRest, askNote, undecided } from "./culling.js";
import { decisionOf, differing, onDecision, tally } from "./decisions.js";
import { sheet } from "./data.js";
import { $, button, copyText, count, make, own, path, shellWord } from "./dom.js";
import { draftsWouldBeLost, draftTiles } from "./drafts.js";
import { exported, imported } from "./exchange.js";
import { shut } from "./focus.js";
import { setCursor } from "./grid.js";
import { reviewer, setReviewer, wouldBeLost } from "./keeping.js";
import { openBox } from "./lightbox.js";

/** Open the review. */
export function openReview() {
  fillReview();
  $("review-said").textContent = "";
  if (!$("review").open) $("review").showModal();
  $("reviewer").focus();
}

/** How far it is, beside the button that opens this. */
export function showProgress() {
  const { approved, rejected, undecided: left, differs, all } = tally();
  $("progress").textContent = left === all ? "Decisions" : `${(all - left).toLocaleString("en")} of ${all.toLocaleString("en")} decided`;
  $("open-review").dataset.widest = `${all.toLocaleString("en")} of ${all.toLocaleString("en")} decided`; // it never pushes the others away
  $("open-review").title = `${approved} approved, ${rejected} rejected, ${left} undecided${differs ? `, reviewers differ on ${differs}` : ""} (E)`;
  $("meter").value = all ? (all - left) / all : 0;
}

function fillReview() {
  const { approved, rejected, undecided: left, all } = tally();
  $("review-tally").replaceChildren(...[["approved", approved], ["rejected", rejected], ["undecided", left], ["pictures", all]].flatMap(([name, value]) => [
    make("div", "", [make("dt", "", name), make("dd", "", Number(value).toLocaleString("en"))]),
  ]));
  const rest = undecided().length;
  $("approve-rest").disabled = rest === 0;
  $("approve-rest").textContent = rest ? `Approve the ${count(rest, "picture")} shown and undecided` : "Nothing that is shown is undecided";
  $("reviewer").value ||= reviewer();
  const differ = differing();
  $("differ").hidden = differ.length === 0;
  $("differ-list").replaceChildren(...differ.slice(0, 200).map((tile) => {
    const said = decisionOf(tile).all.filter((each) => each.decision).map((each) => [own(each.who || "you"), `: ${each.decision}`, ...(each.note ? [" (", own(each.note), ")"] : [])]);
    const open = button(path(sheet.tiles.label[tile]), () => {
      shut($("review"));
      openBox(tile);
    }, "linklike");
    return make("li", "", [open, make("span", "", said.flatMap((each, at) => [...(at ? [" · "] : []), ...each]))]);
  }));
  const drafts = draftTiles();
  $("drafts").hidden = drafts.length === 0;
  $("draft-list").replaceChildren(...drafts.slice(0, 200).map((tile) => make("li", "", button(path(sheet.tiles.label[tile]), () => {
    shut($("review"));
    setCursor(tile);
    askNote();
  }, "linklike"))));
  $("review-served").hidden = !sheet.served;
  $("review-lost").hidden = !wouldBeLost() || Boolean(sheet.served);
}

/** @returns {string | null} the decisions as a file; null when the name is missing, which is then asked for */
function asFile() {
  const name = $("reviewer").value.trim();
  if (!name) {
    $("review-said").textContent = "Your name first, so that others know whose decisions these are.";
    $("reviewer").focus();
    return null;
  }
  setReviewer(name);
  return JSON.stringify(exported(name), null, 1) + "\n";
}

function download() {
  const text = asFile();
  if (text === null) return;
  const link = make("a");
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.href = address;
  link.download = `decisions-${sheet.campaign}-${$("reviewer").value.trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  $("review-said").textContent = `Saved as ${link.download}. Send it to whoever sent you this sheet; they run: pipeline review ${shellWord(sheet.manifest)} --import ${link.download}`;
}

/** @param {string} text @param {string} [name] of the file it came from, where it is one of several */
function take(text, name = "") {
  try {
    const { adopted, older, unknown, differs } = imported(text);
    report(name, `${count(adopted, "decision")} taken in` + (older ? `, ${older} not newer than what was here` : "") +
      (unknown ? `, ${unknown} on pictures that this sheet doesn't show` : "") + (differs ? `. Reviewers differ on ${count(differs, "picture")}.` : "."));
  } catch (error) {
    report(name, error instanceof Error ? error.message : String(error));
  }
  fillReview();
}

/** @param {string} name @param {string} text is added where several files are taken in, so that no refusal is overlooked */
function report(name, text) {
  if (name) $("review-said").append(make("span", "", `${name}: ${text} `));
  else $("review-said").textContent = text;
}

/** @param {FileList | undefined | null} files */
async function takeFiles(files) {
  $("review-said").textContent = "";
  for (const file of files ?? []) take(file.size > 64e6 ? "" : await file.text(), files?.length === 1 ? "" : file.name);
}

/** Wire the review. */
export function startReview() {
  $("open-review").addEventListener("click", openReview);
  $("approve-rest").addEventListener("click", () => {
    approveRest();
    fillReview();
  });
  $("reviewer").addEventListener("input", () => setReviewer($("reviewer").value.trim()));
  $("export").addEventListener("click", download);
  $("export-copy").addEventListener("click", () => {
    const text = asFile();
    if (text !== null) void copyText($("export-copy"), text);
  });
  $("import").addEventListener("change", async () => {
    await takeFiles($("import").files);
    $("import").value = "";
  });
  $("import-paste").addEventListener("input", () => {
    if (!$("import-paste").value.trim()) return;
    take($("import-paste").value);
    $("import-paste").value = "";
  });
  addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    openReview();
    void takeFiles(event.dataTransfer.files);
  });
  addEventListener("beforeunload", (event) => { if ((wouldBeLost() && !sheet.served) || draftsWouldBeLost()) event.preventDefault(); });
  onDecision(showProgress);
  onDecision(() => { if ($("review").open) fillReview(); });
}

/** The contact sheet. Reads its data and the address, then shows; every part wires itself. */

import { readAddress, writeAddress } from "./address.js";
import { startCulling } from "./culling.js";
import { sheet } from "./data.js";
import { onDecision } from "./decisions.js";
import { $ } from "./dom.js";
import { startDrafts } from "./drafts.js";
import { startFocus } from "./focus.js";
import { applyFilter, redraw, showSheet, startGrid } from "./grid.js";
import { startKeeping } from "./keeping.js";
import { startKeys } from "./keys.js";
import { closeBox, isOpen, openBox, refreshBox, startBox } from "./lightbox.js";
import { startLive } from "./live.js";
import { startPrint } from "./print.js";
import { showHead } from "./head.js";
import { showProgress, startReview } from "./review.js";
import { app } from "./state.js";
import { showTools, startTools } from "./tools.js";
import { startZoom } from "./zoom.js";

function showView() {
  showSheet();
  writeAddress(app.view);
}

/** What is above the pictures may grow: what is looked at stays where it is. @param {(() => void)[]} shows */
function showInPlace(...shows) {
  const top = $("canvas").getBoundingClientRect().top;
  for (const show of shows) show();
  scrollBy({ top: $("canvas").getBoundingClientRect().top - top, behavior: "instant" });
}

function showAll() {
  showInPlace(showHead);
  showView();
  showInPlace(showTools, showProgress);
  refreshBox();
}

/** From the address, at the start and when somebody follows a link into the same sheet. */
function followAddress() {
  app.view = readAddress();
  applyFilter();
  const tile = sheet.tiles.label.indexOf(app.view.open);
  showSheet();
  showTools();
  if (tile >= 0) openBox(tile);
  else if (isOpen()) closeBox();
}

startKeeping();
startDrafts();
startTools(showView);
startGrid(openBox);
startBox(() => writeAddress(app.view));
startZoom();
startCulling();
startReview();
startKeys();
startFocus();
startPrint();
followAddress();
showHead();
showProgress();
onDecision(() => showInPlace(showHead));
$("keys").hidden = false;
addEventListener("hashchange", followAddress);
document.documentElement.dataset.ready = "true";
if (document.readyState === "loading") {
  addEventListener("DOMContentLoaded", () => { // the last thumbnails come after this script
    redraw();
    refreshBox();
  });
}
startLive(showAll);

/** What is shown now. */

/** @type {{view: import("./address.js").View, layout: import("./layout.js").Layout, shown: number[], cursor: number}} */
export const app = {
  view: { axes: { bands: "", down: "", across: "" }, filter: { words: "", hidden: new Map() }, height: 0, open: "" },
  layout: {
    height: 0, picture: 0, rows: [], headings: [], columns: [], blocks: [], order: [],
    x: new Float32Array(0), y: new Float32Array(0), w: new Float32Array(0), h: new Float32Array(0),
  },
  shown: [], // tiles that pass the filter
  cursor: -1, // the tile that keys speak of
};

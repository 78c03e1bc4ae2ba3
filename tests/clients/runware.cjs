// Runware's JavaScript client, which knows the WebSocket only.
"use strict";

const { randomUUID } = require("node:crypto");
const { installed, session, shown } = require("./session.cjs");

const { Runware } = installed("@runware/sdk-js");
const TASK = { model: "klingai:kling-image@o1", positivePrompt: "A mug on a table", width: 1024, height: 1024 };

/** Do something with a client, and disconnect it. */
async function connected(address, key, act) {
  const runware = new Runware({ apiKey: key, url: address, shouldReconnect: false, globalMaxRetries: 1 });
  try {
    await runware.ensureConnection();
    return await act(runware);
  } finally {
    await runware.disconnect();
  }
}

session({
  pictures: (address, key) =>
    connected(address, key, async (runware) => {
      const partial = [];
      const images = await runware.requestImages({
        ...TASK,
        numberResults: 3,
        includeCost: true,
        outputFormat: "PNG",
        onPartialImages: (some) => some && partial.push(some.length),
      });
      return { images, partial };
    }),
  parallel: (address, key) =>
    connected(address, key, (runware) =>
      Promise.all(["a mug", "a cup", "a jug"].map((positivePrompt) => runware.requestImages({ ...TASK, positivePrompt }))),
    ),
  later: (address, key) =>
    connected(address, key, async (runware) => {
      const [accepted] = await runware.requestImages({ ...TASK, deliveryMethod: "async" });
      const [found] = await runware.getResponse({ taskUUID: accepted.taskUUID });
      return { accepted, found };
    }),
  references: (address, key) =>
    connected(address, key, async (runware) => {
      const stored = await runware.mediaStorage({ operation: "upload", media: process.env.MUG });
      const task = { ...TASK, width: undefined, height: undefined, resolution: "2k" };
      const images = await runware.requestImages({ ...task, inputs: { referenceImages: [stored.mediaUUID] } });
      return { stored, images };
    }),
  refused: (address, key) => connected(address, key, (runware) => runware.requestImages({ ...TASK, width: 1080 })),
  moderated: (address, key) =>
    connected(address, key, (runware) => runware.requestImages({ ...TASK, positivePrompt: "a forbidden mug" })),
  lost: (address, key) =>
    connected(address, key, async (runware) => {
      const taskUUID = randomUUID();
      const asked = runware.requestImages({ ...TASK, taskUUID, deliveryMethod: "async" });
      const lost = new Promise((_, reject) => runware._ws.once("close", () => reject(new Error("the connection ended"))));
      const failed = await Promise.race([asked, lost]).catch(shown);
      asked.catch(() => {});
      const [found] = await connected(address, key, (again) => again.getResponse({ taskUUID }));
      return { taskUUID, failed, found };
    }),
});

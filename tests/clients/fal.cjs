// fal's JavaScript client. Its addresses are constants; its own middleware leads them to the emulator.
"use strict";

const { installed, session } = require("./session.cjs");

const { createFalClient } = installed("@fal-ai/client");
const KLING = "fal-ai/kling-image/o1";
const ASK = { prompt: "Put @Image1 on a table", image_urls: ["https://example.org/mug.png"] };
const HOSTS = [
  ["https://queue.fal.run", ""],
  ["https://fal.run", "/run"],
  ["https://rest.fal.ai", ""],
];

function client(address, key) {
  const lead = (url) => HOSTS.reduce((led, [host, path]) => led.replace(host, address + path), url);
  const requestMiddleware = async (request) => ({ ...request, url: lead(request.url) });
  const retry = { baseDelay: 1, maxDelay: 2 };
  return createFalClient({ credentials: key, requestMiddleware, retry });
}

const mug = () => new Blob([Buffer.from(process.env.MUG.split(",")[1], "base64")], { type: "image/png" });

session({
  async subscribe(address, key) {
    const steps = [];
    const onQueueUpdate = (update) => steps.push(update.status);
    const input = { ...ASK, num_images: 2 };
    const { data, requestId } = await client(address, key).subscribe(KLING, { input, onQueueUpdate, pollInterval: 1 });
    return { data, requestId, steps };
  },
  async streamed(address, key) {
    const steps = [];
    const onQueueUpdate = (update) => steps.push(update.status);
    const { data } = await client(address, key).subscribe(KLING, { input: ASK, mode: "streaming", logs: true, onQueueUpdate });
    return { data, steps };
  },
  async upload(address, key) {
    const fal = client(address, key);
    const url = await fal.storage.upload(mug());
    // A picture among the input is uploaded by the client itself.
    const { data } = await fal.subscribe(KLING, { input: { ...ASK, image_urls: [url, mug()] }, pollInterval: 1 });
    return { url, data };
  },
  async queue(address, key) {
    const { queue } = client(address, key);
    const { request_id: requestId } = await queue.submit(KLING, { input: ASK });
    const running = await queue.status(KLING, { requestId, logs: true });
    await queue.cancel(KLING, { requestId });
    const done = await queue.status(KLING, { requestId });
    return { requestId, running, done };
  },
  run: async (address, key) => (await client(address, key).run(KLING, { input: ASK })).data,
  invalid: (address, key) =>
    client(address, key).subscribe(KLING, { input: { ...ASK, prompt: "x".repeat(2501) }, pollInterval: 1 }),
});

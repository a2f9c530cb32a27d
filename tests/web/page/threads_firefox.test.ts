// Threads in Firefox: the same bits on one, two and four.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gander } from "gander";
import { serveBuiltSite } from "../built_site.ts";
import { WebDriver } from "../web_driver.ts";

const geckodriver = process.env.GANDER_GECKODRIVER ?? assert.fail("run this by npm test -- --only page");

let server: { url: string; close: () => Promise<void> };
let firefox: WebDriver;

before(async () => {
  server = await serveBuiltSite();
  firefox = await WebDriver.firefox(geckodriver);
});
after(async () => {
  await firefox?.stop();
  await server?.close();
});

/** What a model on so many threads says of its device, and computes of a short input and a long one. */
function computed(threads: number): Promise<{ device: string; inputs: number[]; all: string }> {
  return firefox.run(async (threads) => {
    const library = "/dist/index.js";
    const gander = (await import(library)) as { Gander: typeof Gander };
    const files = { base: "/demo/ocean/base.gguf", experts: "/demo/ocean/catalog.json" };
    const model = await gander.Gander.load({ ...files, device: "cpu", cache: false, threads });
    const { wasmBuild, threads: found, reason } = model.device;
    const answers = [];
    for (const text of ["the invoice of 12-Oct-2025 ", "the invoice of 12-Oct-2025 ".repeat(16)]) {
      const { stats, routing, ...answer } = await model.generate(text, { trace: true, maxNewTokens: 24 });
      answers.push({ ...answer, routing: routing?.toJSON() });
    }
    const scores = await model.score("the invoice of 12-Oct-2025", ["the invoice of 2025-10-12", "nothing"]);
    await model.dispose();
    const inputs = answers.map(({ inputIds }) => inputIds.length);
    return { device: `${wasmBuild}, ${found}, ${reason}`, inputs, all: JSON.stringify({ answers, scores }) };
  }, threads);
}

test("in Firefox too, one, two and four threads compute the same bits", async () => {
  // A page of the site that loads no model itself, and has no content policy: text.
  await firefox.open(`${server.url}dist/index.js`);
  assert.ok(await firefox.run(() => globalThis.crossOriginIsolated));
  const one = await computed(1);
  assert.match(one.device, /^(plain|relaxed), 1, asked for$/);
  assert.ok((one.inputs[0] ?? 0) < 20 && (one.inputs[1] ?? 0) > 128, `${one.inputs}`);
  assert.match(one.all, /2025-10-12/);
  for (const threads of [2, 4]) {
    const several = await computed(threads);
    assert.equal(several.device, `threads, ${threads}, asked for`);
    assert.equal(several.all, one.all, `${threads} threads`);
  }
});

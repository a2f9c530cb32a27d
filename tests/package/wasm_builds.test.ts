// The two WebAssembly files of the package: a page loads the one that fits, and both compute the same bits.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { answerOnPage, browserAndAnswer, freshExample, ocean, run, serveFolder, upload } from "./support.ts";

const shared = browserAndAnswer();

/** Prints all that a build computes: tokens, the routing of each with its weights, and the likelihoods of some answers. */
const program = `
import { Gander } from "gander";
const [base, experts, build] = process.argv.slice(2);
const options = build === "chosen" ? {} : { wasmUrl: import.meta.resolve(build) };
const model = await Gander.load({ base, experts, cache: false, ...options });
const lines = ["the invoice of 12-Oct-2025", "call +49 (0)30 1234567 at half past 7", "3,5 kg for 12 EUR, www.example.org", "x"];
const answers = [];
for (const line of lines) {
  const { text, outputIds, routing } = await model.generate(line, { trace: true, maxNewTokens: 24 });
  answers.push({ text, outputIds, routing: routing.toJSON() });
}
const scores = await model.score(lines[0], ["the invoice of 2025-10-12", "nothing", "12"]);
console.log(JSON.stringify({ build: model.device.wasmBuild, computed: { answers, scores } }));
await model.dispose();
`;

test("both builds compute the same bits in Node, and name themselves", async () => {
  const files = await serveFolder(ocean);
  try {
    const app = freshExample("node");
    writeFileSync(join(app, "both.mjs"), program);
    // Node 20 has relaxed SIMD behind a flag, which later ones no longer know.
    const flags =
      Number(process.versions.node.split(".")[0]) < 22 ? ["--experimental-wasm-relaxed-simd"] : [];
    const of = async (build: string) => {
      const urls = [`${files.url}base.gguf`, `${files.url}catalog.json`];
      return JSON.parse(await run(app, [...flags, "both.mjs", ...urls, build]));
    };
    const plain = await of("gander/wasm");
    const relaxed = await of("gander/wasm-relaxed");
    assert.deepEqual([plain.build, relaxed.build], ["plain", "relaxed"]);
    assert.equal(plain.computed.answers[0].text, shared.expected);
    assert.equal(plain.computed.answers.length, 4);
    assert.deepEqual(relaxed.computed, plain.computed);
    assert.equal((await of("chosen")).build, "relaxed");
  } finally {
    await files.close();
  }
});

for (const [build, file, engine] of [
  ["relaxed", "gander_relaxed_bg.wasm", ""],
  // Stands for an engine without relaxed SIMD.
  ["plain", "gander_bg.wasm", "WebAssembly.validate = () => false"],
]) {
  test(`a page that takes the ${build} build fetches no other, and answers`, async () => {
    const site = await serveFolder(upload("minimal"));
    const context = await shared.browser.newContext();
    const fetched: string[] = [];
    context.on("request", (request) => {
      const name = request.url().split("/").at(-1) ?? "";
      if (name.endsWith(".wasm")) fetched.push(name);
    });
    try {
      await context.addInitScript(engine ?? "");
      await answerOnPage(context, site.url, shared.expected);
      assert.deepEqual(fetched, [file]);
    } finally {
      await context.close();
      await site.close();
    }
  });
}

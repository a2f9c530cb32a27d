// Values that are of the right kind but out of range are refused by the engine, under the names that the caller used.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Gander, GanderError, GenerateOptions } from "gander";
import type { Browser, Page } from "playwright-core";
import { serveBuiltSite } from "../built_site.ts";
import { launchChromium } from "../chromium.ts";

let server: { url: string; close: () => Promise<void> };
let browser: Browser;
let page: Page;
/** Of the line, without options. */
let answer: string;

before(async () => {
  server = await serveBuiltSite();
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(`${server.url}demo/icon.svg`);
  await page.evaluate(async () => {
    const library = "/dist/index.js";
    const { Gander } = (await import(library)) as { Gander: typeof import("gander").Gander };
    const model = await Gander.load({
      base: "/demo/ocean/base.gguf",
      experts: "/demo/ocean/catalog.json",
      device: "cpu",
    });
    Object.assign(globalThis, { model });
  });
  answer = (await endOf({})).message;
  assert.match(answer, /2021-03-03/);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** What a line with these options ends in: the error's code, place and message, or the answer. */
function endOf(options: GenerateOptions): Promise<{ code: string; place: string; message: string }> {
  return page.evaluate(async (options) => {
    const { model } = globalThis as unknown as { model: Gander };
    return model.generate("it begins on 3rd of March 2021", options).then(
      ({ text }) => ({ code: "answered", place: "", message: text ?? "" }),
      ({ code, place, message }: GanderError) => ({ code, place: place ?? "", message }),
    );
  }, options);
}

for (const [options, code, place] of [
  [{ maxNewTokens: 0 }, "invalid-option", "maxNewTokens"],
  [{ maxNewTokens: 1e6 }, "invalid-option", "maxNewTokens"],
  [{ topK: 0 }, "invalid-option", "topK"],
  [{ minWeight: -0.1 }, "invalid-option", "minWeight"],
  [{ minShare: 1.5 }, "invalid-option", "minShare"],
  [{ temperature: -1 }, "invalid-option", "temperature"],
  [{ topP: 0 }, "invalid-option", "topP"],
  [{ repetitionPenalty: 0 }, "invalid-option", "repetitionPenalty"],
  [{ bias: { date: 1e9 } }, "invalid-option", "bias"],
  [{ onMiss: "later" as "wait" }, "invalid-option", "onMiss"],
  [{ strategy: "best" as "none" }, "invalid-option", "strategy"],
  [{ include: ["dat"] }, "unknown-expert", "include"],
  [{ exclude: ["dat"] }, "unknown-expert", "exclude"],
  [{ strategy: "single:dat" }, "unknown-expert", "strategy"],
] as const satisfies readonly (readonly [GenerateOptions, string, string])[]) {
  test(`${JSON.stringify(options)} is refused by its name, and the model goes on`, async () => {
    const end = await endOf(options as unknown as GenerateOptions);
    assert.deepEqual({ code: end.code, place: end.place }, { code, place }, end.message);
    assert.ok(end.message.includes("expected"), end.message);
    assert.deepEqual(await endOf({}), { code: "answered", place: "", message: answer });
  });
}

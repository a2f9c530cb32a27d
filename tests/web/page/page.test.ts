// The demo page in Chromium, against the scripted engine: every state, the unhappy ones included.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import type { Page } from "playwright-core";
import { answered, ask, DemoSite, ready } from "../demo_site.ts";
import { testOcean } from "../test_ocean.ts";

let site: DemoSite;
let page: Page;
let problems: string[];

before(async () => {
  const lines = [
    { text: "Meet at 9!", kinds: ["letters"] },
    { text: "<b>bold</b>", kinds: ["signs"] },
  ];
  site = await DemoSite.start({
    ...testOcean(["letters", "<i>signs</i>"]),
    "examples.json": JSON.stringify({ lines }),
    "broken.gguf": "<!doctype html>",
  });
});
after(() => site?.stop());

beforeEach(async () => {
  ({ page, problems } = await site.newPage());
});
afterEach(async () => {
  await page.context().close();
  assert.deepEqual(problems, []);
});

const status = () => page.textContent("#progress");

const open = (query = "") => page.goto(`${site.url}demo/${query}`);

test("a line goes in and its answer comes out, with the experts of every token", async () => {
  await open();
  await ready(page);
  await ask(page, "abc 12");
  await answered(page);
  assert.equal(await page.textContent("#output"), "ABC 12");
  const label = await page.locator("#why [role=gridcell]").getAttribute("aria-label");
  assert.equal(label, "Token 1 “A”, all layers: The letters 75 %, The <i>signs</i> 25 %");
  assert.match((await status()) ?? "", /^6 tokens in .*4 pages of experts fetched/);
});

test("an example is one click away, and the experts are fetched only once", async () => {
  await open();
  await ready(page);
  await page.click("#examples button");
  await answered(page);
  assert.equal(await page.textContent("#output"), "MEET AT 9!");
  await ask(page, "again");
  await page.waitForFunction(() =>
    /nothing fetched/.test(document.getElementById("progress")?.textContent ?? ""),
  );
});

test("texts and titles are shown as text, never taken as markup", async () => {
  await open();
  await ready(page);
  await ask(page, "<b>bold</b>");
  await answered(page);
  assert.equal(await page.textContent("#output"), "<B>BOLD</B>");
  assert.equal(await page.locator("main b:text-is('bold')").count(), 0);
  assert.equal(await page.locator("main i").count(), 0);
  assert.match((await page.textContent("#experts")) ?? "", /The <i>signs<\/i>/);
});

test("the page stays responsive while an answer is written, and Stop stops it", async () => {
  await open();
  await ready(page);
  await page.evaluate(() => {
    let last = performance.now();
    let longest = 0;
    setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      document.body.dataset.longestPause = String(longest);
    }, 10);
  });
  await ask(page, `slowly ${"x".repeat(200)}`);
  await page.waitForFunction(() => (document.querySelector("#output")?.textContent?.length ?? 0) >= 10);
  await page.click("#stop");
  await page.waitForFunction(() => document.getElementById("progress")?.textContent === "Stopped.");
  const longestPause = Number(await page.evaluate(() => document.body.dataset.longestPause));
  assert.ok(longestPause < 1000, `the page stood still for ${longestPause} ms`);
  await ask(page, "next");
  await answered(page);
  assert.equal(await page.textContent("#output"), "NEXT");
});

for (const [what, query, title, details] of [
  ["is missing", "?base=./none.gguf", "A file of the model is not there", /none\.gguf.*404/],
  ["is not a model", "?base=./ocean/broken.gguf", "not what it should be", /broken\.gguf.*GGUF/],
  ["is on a server that does not answer", "?base=http://127.0.0.1:9/base.gguf", "no answer", /network/],
] as const) {
  test(`a base that ${what} is explained, with the way to try again`, async () => {
    await open(query);
    await page.waitForSelector("#failure:not([hidden])");
    assert.match((await page.textContent("#failure-title")) ?? "", new RegExp(title));
    assert.match((await page.textContent("#failure-details")) ?? "", details);
    assert.ok(await page.isEnabled("#retry"));
    assert.ok(await page.isDisabled("#run"));
  });
}

test("an expert that cannot be fetched is explained, and the page goes on once it can", async () => {
  await open();
  await ready(page);
  await page.route("**/letters.safetensors", (route) => route.fulfill({ status: 404 }));
  await ask(page, "abc");
  await page.waitForSelector("#failure:not([hidden])");
  await page.unroute("**/letters.safetensors");
  await page.click("#retry");
  await answered(page);
  assert.equal(await page.textContent("#output"), "ABC");
});

for (const width of [320, 390, 768, 1280]) {
  test(`nothing is wider than a page of ${width} pixels`, async () => {
    await page.setViewportSize({ width, height: 800 });
    await open();
    await ready(page);
    await ask(page, "a line of some length, and a word of some lengthhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    await answered(page);
    await page.click("#why .switch");
    await page.waitForSelector("#why .columns article");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  });
}

// One line and its answer in Chromium: what is marked, counted and offered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { answered, ask, DemoTests } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

test("an answer marks what it changed, and says so", async () => {
  await demo.open();
  await ask(demo.page, "abc 12 X");
  await answered(demo.page);
  assert.deepEqual(await demo.page.locator("#output ins").allTextContents(), ["ABC"]);
  assert.deepEqual(await demo.page.locator("#original del").allTextContents(), ["abc"]);
  assert.equal(await demo.page.textContent("#changes"), "Changed: “abc” became “ABC”.");
  const look = (selector: string) =>
    demo.page.locator(selector).evaluate((one) => getComputedStyle(one).textDecorationLine);
  assert.equal(await look("#output ins"), "underline");
  assert.equal(await look("#original del"), "line-through");
});

test("an answer can be asked for again, and its line edited", async () => {
  await demo.open();
  await ask(demo.page, "abc");
  await answered(demo.page);
  await demo.page.fill("#line", "something else");
  await demo.page.click("#edit");
  assert.equal(await demo.page.inputValue("#line"), "abc");
  await demo.page.click("#again");
  await demo.page.waitForFunction(() =>
    /nothing fetched/.test(document.getElementById("progress")?.textContent ?? ""),
  );
  assert.equal(await demo.page.textContent("#output"), "ABC");
});

test("an answer says what it cost: downloads with their times, pages, bytes, runs, device", async () => {
  await demo.open();
  await ask(demo.page, "ab");
  await answered(demo.page);
  const cost = (await demo.page.locator("#cost").allInnerTexts()).join().replace(/\s+/g, " ");
  assert.match(cost, /Pages wanted 4, 1 KB/);
  assert.match(cost, /Pages fetched 4, 1 KB/);
  assert.match(cost, /Runs of the model 4, for 2 tokens/);
  assert.match(cost, /on the processor/);
  assert.match(cost, /All experts 1 KB/);
  const table = demo.page.locator("#cost .waterfall").first();
  assert.deepEqual(await table.locator("tbody th").allTextContents(), ["The letters, The signs", "Tokens"]);
  assert.match((await table.locator("tbody td .spoken").first().textContent()) ?? "", /^from \d+ to \d+ ms$/);
  assert.equal(await table.locator(".bar-token").count(), 2);
});

// The catalogue in Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean, markup } from "../demo_ocean.ts";
import { answered, ask, columnState, DemoTests, ready } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

test("the catalogue shows what is known of every expert", async () => {
  await demo.open("#catalogue");
  const card = (await demo.page.locator("#experts li").allInnerTexts()).join().replace(/\s+/g, " ");
  for (const part of [
    "The letters",
    "Serves letters.",
    "CC0-1.0",
    "made for tests",
    "exact 0.9",
    "lines 200",
    "2 pages",
    "not asked yet",
  ]) {
    assert.ok(card.includes(part), `${part} is not in ${card}`);
  }
});

test("the catalogue is searched and sorted", async () => {
  await demo.open("#catalogue");
  const titles = () => demo.page.locator("#experts b").allTextContents();
  await demo.page.selectOption("#catalogue-order", "figure:exact");
  assert.deepEqual(await titles(), ["The letters", "The signs"]);
  await demo.page.fill("#catalogue-search", "SIGNS");
  assert.deepEqual(await titles(), ["The signs"]);
  await demo.page.fill("#catalogue-search", "nothing like it");
  assert.match((await demo.page.textContent("#experts")) ?? "", /None is like that/);
});

test("the catalogue leaves experts out of the answers: one by one, and below a figure", async () => {
  await demo.open("#catalogue");
  await demo.page.getByRole("checkbox", { name: "Use The letters" }).uncheck();
  assert.equal(await demo.page.textContent("#catalogue-count"), "2 of 2 experts; 1 switched off.");
  await demo.page.getByRole("button", { name: "Switch all on" }).click();
  await demo.page.selectOption("#rule-figure", "exact");
  assert.equal(
    await demo.page.textContent("#catalogue-count"),
    "1 of 2 experts; 1 below the figure, and so left out.",
  );
  await demo.page.fill("#rule-least", "0.95");
  assert.equal(
    await demo.page.textContent("#catalogue-count"),
    "0 of 2 experts; 2 below the figure, and so left out.",
  );
  await demo.page.click("nav a[href='#ask']");
  await ask(demo.page, "ab");
  await answered(demo.page);
  assert.match((await demo.page.textContent("#progress")) ?? "", /nothing fetched/);
});

test("the catalogue counts how often each expert was chosen here, also at the next visit", async () => {
  await demo.open();
  await ask(demo.page, "ab");
  await answered(demo.page);
  const chosen = () => demo.page.locator("#experts .number").allTextContents();
  await demo.page.click("nav a[href='#catalogue']");
  // A view is drawn when its address has changed, which a click does not wait for.
  await demo.page.locator("#experts .number", { hasText: "of 1 answer" }).first().waitFor();
  assert.deepEqual(await chosen(), ["75 % of 1 answer", "25 % of 1 answer"]);
  await demo.page.reload();
  await ready(demo.page);
  assert.deepEqual(await chosen(), ["75 % of 1 answer", "25 % of 1 answer"]);
});

test("the catalogue may be another one, by its address; one that does not fit changes nothing and is explained", async () => {
  await demo.open("#catalogue");
  const load = async (url: string) => {
    await demo.page.fill("#catalogue-url", url);
    await demo.page.getByRole("button", { name: "Load it" }).click();
  };
  for (const [file, title, details] of [
    ["wrong-base.json", /not what it should be/, /wrong-base/],
    ["none.json", /is not there/, /404/],
    ["examples.json", /not what it should be/, /no catalogue/],
  ] as const) {
    await load(`${demo.site.url}demo/ocean/${file}`);
    await demo.page.waitForSelector("#failure:not([hidden])");
    assert.match((await demo.page.textContent("#failure-title")) ?? "", title);
    assert.match((await demo.page.textContent("#failure-details")) ?? "", details);
    await demo.page.click("#failure-close");
  }
  assert.equal(await demo.page.locator("#experts li").count(), 2);
  await demo.page.click("nav a[href='#ask']");
  await ask(demo.page, "still here");
  await answered(demo.page);
  await demo.page.click("nav a[href='#catalogue']");
  await load(`${demo.site.url}demo/ocean/hostile.json`);
  await demo.page.waitForFunction(() => document.getElementById("experts")?.textContent?.includes("onerror"));
});

test("the catalogue brings all experts at once, after which an answer fetches nothing", async () => {
  await demo.open("#catalogue");
  await demo.page.getByRole("button", { name: "Bring all now" }).click();
  await demo.page.getByRole("button", { name: "All are here" }).waitFor();
  await demo.page.click("nav a[href='#ask']");
  await ask(demo.page, "ab");
  await answered(demo.page);
  assert.match((await demo.page.textContent("#progress")) ?? "", /nothing fetched; 4 were kept from before/);
  await demo.page.waitForFunction(() =>
    /in \d+ pieces/.test(document.getElementById("cost")?.textContent ?? ""),
  );
});

test("another catalogue stops what the one before was asked, without a complaint", async () => {
  await demo.open("#column");
  await demo.page.fill("#batch-paste", `slowly ${"x".repeat(150)}\nslowly ${"y".repeat(150)}`);
  await demo.page.click("#batch-use");
  await demo.page.waitForSelector("#batch table");
  await demo.page.click("#batch button.primary");
  await demo.page.click("nav a[href='#catalogue']");
  await demo.page.fill("#catalogue-url", `${demo.site.url}demo/ocean/catalog.json`);
  await demo.page.getByRole("button", { name: "Load it" }).click();
  await demo.page.waitForFunction(
    () => document.querySelector("#batch [role=status]")?.textContent === "2 rows to clean.",
  );
  assert.ok(await demo.page.isHidden("#failure"));
});

test("the catalogue cannot put markup into the page, whatever its texts are", async () => {
  await demo.open("?experts=./ocean/hostile.json#ask");
  const title = await demo.page.title();
  await ask(demo.page, markup);
  await answered(demo.page);
  await demo.page.getByRole("button", { name: "Helpful", exact: true }).click();
  await demo.page.fill("#judge-note", markup);
  await demo.page.getByRole("button", { name: "Keep" }).click();
  await demo.page.waitForSelector("#judge a");
  for (const view of ["column", "catalogue", "judgements"]) {
    await demo.page.click(`nav a[href='#${view}']`);
    if (view === "column") {
      await demo.page.fill("#batch-paste", `${markup}\t${markup}\n${markup}\tb`);
      await demo.page.click("#batch-use");
      await demo.page.waitForSelector("#batch table");
      await demo.page.click("#batch button.primary");
      await columnState(demo.page, "Done");
    }
  }
  await demo.page.waitForSelector("#dashboard table");
  assert.ok((await demo.page.textContent("#experts"))?.includes("onerror"));
  assert.equal(await demo.page.locator("main img, main script, main a[href^='javascript']").count(), 0);
  assert.equal(await demo.page.title(), title);
});

// The page without a network, after one visit, in Chromium with its service worker.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { answered, ask, DemoTests, ready } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

test("after one visit the page opens, answers and shows its catalogue without a network", async () => {
  await demo.open("", { serviceWorkers: "allow" });
  const { page } = demo;
  await ask(page, "ab 12");
  await answered(page);
  await page.waitForFunction(() =>
    /without a network/.test(document.getElementById("offline")?.textContent ?? ""),
  );
  await demo.site.closeServer();

  await page.goto(`${demo.site.url}demo/?device=cpu`);
  await ready(page);
  await ask(page, "ab 12");
  await answered(page);
  assert.equal(await page.textContent("#output"), "AB 12");
  assert.match((await page.textContent("#progress")) ?? "", /nothing fetched; 4 were kept from before/);
  await page.click("nav a[href='#catalogue']");
  assert.equal(await page.locator("#experts li").count(), 2);
  assert.ok((await page.locator("#examples button").count()) > 0);
  const columns = await page.locator("#experts").evaluate((list) => getComputedStyle(list).display);
  assert.equal(columns, "grid", "the styles are missing");

  // What was never fetched is explained as anywhere else.
  await page.fill("#catalogue-url", `${demo.site.url}demo/ocean/hostile.json`);
  await page.getByRole("button", { name: "Load it" }).click();
  await page.waitForSelector("#failure:not([hidden])");
  assert.match((await page.textContent("#failure-title")) ?? "", /network gave no answer/);
});

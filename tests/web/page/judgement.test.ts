// Judgements in Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { answered, ask, DemoTests, download, judge, ready } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

async function exported(button: string): Promise<Record<string, unknown>[]> {
  const { text } = await download(demo.page, button);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

test("a judgement is kept with the routing of its answer, counted, exported and removed", async () => {
  await demo.open();
  await judge(demo.page, "ab", "Helpful");
  await judge(demo.page, "cd", "Not helpful");
  await demo.page.fill("#judge-correction", "Cd");
  await demo.page.fill("#judge-note", "a name");
  await demo.page.getByRole("button", { name: "Keep" }).click();
  await judge(demo.page, "12", "Not helpful");
  await demo.page.waitForTimeout(200);
  await demo.page.reload();
  await ready(demo.page);
  await demo.page.click("nav a[href='#judgements']");
  await demo.page.waitForSelector("#dashboard table");
  const text = (await demo.page.locator("#dashboard").allInnerTexts()).join().replace(/\s+/g, " ");
  assert.match(text, /3 judgements 33 % helpful \(6 to 79\) 1 corrected 0 disputed/);
  assert.match(text, /The letters 2 50 % \(9 to 91\) 58 % 0/);
  assert.match(text, /Right would be: Cd Note: a name/);

  const lines = await exported("Download all");
  assert.deepEqual(
    lines.map(({ input, targets, answer, helpful, note }) => [input, targets, answer, helpful, note]),
    [
      ["ab", ["AB"], "AB", true, ""],
      ["cd", ["Cd"], "CD", false, "a name"],
      ["12", undefined, "12", false, ""],
    ],
  );
  const routing = lines[0]?.routing as { module: string; experts: string[] }[];
  assert.equal(routing.filter(({ module }) => module.startsWith("decoder.")).length, 4);
  assert.equal((await exported("Only those with a right answer")).length, 2);

  await demo.page.getByRole("button", { name: "Remove the judgement of 12" }).click();
  await demo.page.waitForFunction(() => document.querySelectorAll(".judged li").length === 2);
  await demo.page.getByRole("button", { name: "Remove all" }).click();
  await demo.page.getByRole("button", { name: "Really remove all" }).click();
  await demo.page.waitForFunction(() =>
    /Nothing was judged yet/.test(document.getElementById("dashboard")?.textContent ?? ""),
  );
});

test("a judgement that cannot be kept is said, and the page goes on", async () => {
  await demo.visit("", {}, (page) =>
    page.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("storage is forbidden", "SecurityError");
      };
    }),
  );
  await ready(demo.page);
  await ask(demo.page, "ab");
  await answered(demo.page);
  await demo.page.getByRole("button", { name: "Helpful", exact: true }).click();
  await demo.page.waitForFunction(() =>
    /keeps nothing: .*forbidden/.test(document.getElementById("judge")?.textContent ?? ""),
  );
  await demo.page.click("nav a[href='#judgements']");
  await demo.page.waitForFunction(() =>
    /keeps nothing/.test(document.getElementById("dashboard")?.textContent ?? ""),
  );
});

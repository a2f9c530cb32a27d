// The demo as visitors get it: the real engine and the ocean that comes with the repository.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";

const ocean = "www/demo/ocean";

let server: { url: string; close: () => Promise<void> };
let browser: Browser;
let page: Page;
let lines: { text: string }[];

before(async () => {
  lines = JSON.parse(readFileSync(join(ocean, "examples.json"), "utf8")).lines;
  const { serve } = await import(pathToFileURL(join(process.cwd(), "scripts/serve/server.mjs")).href);
  server = await serve({ folder: "www", port: 0, home: "/demo/" });
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic"],
  });
  page = await browser.newPage();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** What the native program answers. */
function nativeAnswer(text: string): string {
  const files = ["--base", join(ocean, "base.gguf"), "--experts", join(ocean, "catalog.json")];
  const run = ["run", "--quiet", "--locked", "--", "generate", ...files, "--text", text, "--json"];
  return JSON.parse(execFileSync("cargo", run, { encoding: "utf8" })).text;
}

test("the page loads and is ready for a line", async () => {
  await page.goto(server.url);
  await page.waitForSelector("#run:not([disabled])", { timeout: 60_000 });
  assert.ok(await page.isHidden("#failure"));
  assert.ok((await page.locator("#experts .expert-title").count()) > 1);
});

for (const index of [0, 1, 2]) {
  test(`example line ${index + 1}, typed in, is answered as the native program answers it`, async () => {
    const text = lines[index]?.text ?? "";
    await page.fill("#line", text);
    await page.press("#line", "Enter");
    await page.waitForFunction(() =>
      /tokens in/.test(document.getElementById("progress")?.textContent ?? ""),
    );
    const answer = await page.textContent("#output");
    assert.equal(answer, nativeAnswer(text));
    const label = await page.locator("#why [role=gridcell]").first().getAttribute("aria-label");
    assert.match(label ?? "", /^Token 1 .+, all layers: .+ \d+ %/);
    assert.match((await page.textContent("#why .sentences")) ?? "", /(wrote|led) “.+” ?(:|with) ?\d+/);
  });
}

test("on a phone, the layers of a token scroll in their own box and nothing widens the page", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await page.fill("#line", lines[0]?.text ?? "");
  await page.press("#line", "Enter");
  await page.waitForFunction(() => /tokens in/.test(document.getElementById("progress")?.textContent ?? ""));
  await page.locator("#tokens button").first().click();
  const widths = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.querySelector("#layers .scroll")?.scrollWidth ?? 0,
  ]);
  assert.equal(widths[0], 390);
  assert.ok((widths[1] ?? 0) > 390, "the table is wider than a phone, or this tests nothing");
});

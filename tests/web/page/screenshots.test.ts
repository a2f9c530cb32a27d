// Pictures of every view, for people to look at before they call it done: .cache/screenshots/<view>-<width>-<scheme>.png

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { serveBuiltSite } from "../built_site.ts";
import { launchChromium } from "../chromium.ts";
import { answered, ask, columnState, judge, ready } from "../demo_site.ts";
import { ocean } from "../native_answer.ts";

const folder = ".cache/screenshots";

let server: { url: string; close: () => Promise<void> };
let browser: Browser;

before(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  server = await serveBuiltSite();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const { lines } = JSON.parse(readFileSync(join(ocean, "examples.json"), "utf8")) as {
  lines: { text: string; kinds: string[] }[];
};
/** A line for several experts shows most. */
const richest = lines.reduce((best, line) => (line.kinds.length > best.kinds.length ? line : best));

/** What there is to see in each view, once somebody has used it. */
const uses: Record<string, (page: Page) => Promise<void>> = {
  ask: async (page) => {
    await ask(page, richest.text);
    await answered(page);
    await page.locator("#why .switch").first().click();
    await page.waitForSelector("#why .columns article");
  },
  column: async (page) => {
    await page.click("#batch-example");
    await page.waitForSelector("#batch table");
    await page.click("#batch button.primary");
    await columnState(page, "Done", 60_000);
    await page.getByRole("button", { name: "Why row 1 is so" }).click();
    await page.waitForSelector(".batch-why gander-routing");
  },
  catalogue: async (page) => {
    await page.locator("#experts input").first().uncheck();
  },
  judgements: async (page) => {
    await page.waitForSelector("#dashboard table");
  },
};

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [390, 820, 1280]) {
    test(`pictures, ${width} pixels wide, ${colorScheme}`, async () => {
      const context = await browser.newContext({
        viewport: { width, height: 900 },
        colorScheme,
        serviceWorkers: "block",
      });
      const page = await context.newPage();
      try {
        await page.goto(server.url);
        await ready(page);
        await judge(page, lines[0]?.text ?? "", "Helpful");
        await judge(page, lines.at(-1)?.text ?? "", "Not helpful");
        for (const [view, use] of Object.entries(uses)) {
          await page.click(`nav a[href='#${view}']`);
          await use(page);
          assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, view);
          const path = join(folder, `${view}-${width}-${colorScheme}.png`);
          await page.screenshot({ path, fullPage: true });
        }
      } finally {
        await context.close();
      }
    });
  }
}

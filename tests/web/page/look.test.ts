// How the page looks, is used without a mouse, and what axe says of it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, describe, test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { columnState, DemoTests, judge, ready } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

const axe = readFileSync("node_modules/axe-core/axe.min.js", "utf8");

describe("the page", () => {
  beforeEach(() => demo.open());

  test("is light or dark as the visitor likes it, also at the next visit", async () => {
    const background = () => demo.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await demo.page.emulateMedia({ colorScheme: "dark" });
    const dark = await background();
    assert.notEqual(dark, light);
    await demo.page.click("#theme");
    assert.equal(await demo.page.textContent("#theme"), "Theme: light");
    assert.equal(await background(), light);
    await demo.page.emulateMedia({ colorScheme: "light" });
    await demo.page.click("#theme");
    assert.equal(await background(), dark);
    await demo.page.reload();
    assert.equal(await background(), dark);
    assert.equal(await demo.page.textContent("#theme"), "Theme: dark");
  });

  test("goes from view to view by the keyboard and by the back key", async () => {
    await demo.page.keyboard.press("Tab");
    assert.equal(await demo.page.evaluate(() => document.activeElement?.textContent), "To the content");
    for (let press = 0; press < 2; press++) await demo.page.keyboard.press("Tab");
    await demo.page.keyboard.press("Enter");
    await demo.page.waitForSelector("#view-column:not([hidden])");
    assert.equal(await demo.page.getAttribute("nav a[href='#column']", "aria-current"), "page");
    await demo.page.locator(".skip").press("Enter");
    assert.ok(await demo.page.isVisible("#view-column"), "the skip link leads to another view");
    for (let press = 0; press < 2; press++) await demo.page.goBack();
    await demo.page.waitForSelector("#view-ask:not([hidden])");
  });

  test("asks nobody but its own server", async () => {
    const others: string[] = [];
    demo.page.on("request", (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(demo.site.url))
        others.push(request.url());
    });
    await demo.page.reload();
    await ready(demo.page);
    await judge(demo.page, "ab", "Helpful");
    assert.deepEqual(others, []);
  });
});

test("the page's own code is less than 200 KB", async () => {
  await demo.open();
  const own = await demo.page.evaluate(async () => {
    const entries = performance.getEntriesByType("resource").map(({ name }) => name);
    const code = [location.href, ...entries].filter((url) => /\/demo\/([^/]*\.(js|css|svg))?$/.test(url));
    const sizes = await Promise.all(
      code.map(async (url) => (await (await fetch(url)).arrayBuffer()).byteLength),
    );
    return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  });
  assert.ok(own.files >= 9, `${own.files} files`);
  assert.ok(own.bytes < 200_000, `${own.bytes} bytes`);
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [390, 1440]) {
    test(`axe finds nothing to complain of in any view, ${colorScheme}, ${width} pixels wide`, async () => {
      await demo.open("", { colorScheme, viewport: { width, height: 900 } });
      await judge(demo.page, "ab 12", "Helpful");
      await judge(demo.page, "cd", "Not helpful");
      await demo.page.locator("#why .switch").first().click();
      await demo.page.waitForSelector("#why .columns article");
      await demo.page.locator("#cost summary").last().click();
      for (const view of ["ask", "column", "catalogue", "judgements"]) {
        await demo.page.click(`nav a[href='#${view}']`);
        if (view === "column") {
          await demo.page.fill("#batch-paste", "a\tb\nc\tD\n");
          await demo.page.click("#batch-use");
          await demo.page.waitForSelector("#batch table");
          await demo.page.click("#batch button.primary");
          await columnState(demo.page, "Done");
          await demo.page.getByRole("button", { name: "Why row 1 is so" }).click();
          await demo.page.waitForSelector(".batch-why gander-routing");
        }
        if (view === "catalogue") await demo.page.locator("#experts input").first().uncheck();
        if (view === "judgements") await demo.page.waitForSelector("#dashboard table");
        // Evaluated, not inserted: the page's content policy takes no script from a test.
        await demo.page.evaluate(axe);
        const violations = await demo.page.evaluate(async () => {
          const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
          const { violations } = await axe.run(document, { resultTypes: ["violations"] });
          return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
        });
        assert.deepEqual(violations, [], `${view}`);
        assert.equal(
          await demo.page.evaluate(() => document.documentElement.scrollWidth),
          width,
          `${view} is wider`,
        );
      }
    });
  }
}

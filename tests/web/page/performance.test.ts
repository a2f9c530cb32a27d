// What a performance audit asks of a page, in figures that no busy machine changes: bytes, counts, the page's own computing.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { answered, ask, DemoTests, ready } from "../demo_site.ts";
import { longestTaskMilliseconds } from "../main_thread.ts";

const demo = new DemoTests(demoOcean());

/** Sum of the layout shifts that no visitor's click or key caused, as the browser's Cumulative Layout Shift counts them. */
const layoutShift = () =>
  demo.page.evaluate(async () => {
    const shifts: number[] = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & {
        value: number;
        hadRecentInput: boolean;
      })[])
        if (!entry.hadRecentInput) shifts.push(entry.value);
    }).observe({ type: "layout-shift", buffered: true });
    await new Promise((resolve) => setTimeout(resolve, 100));
    return shifts.reduce((sum, shift) => sum + shift, 0);
  });

describe("the page's performance", () => {
  test("it paints, and a line can be written, before any part of a model or an expert has come", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await demo.visit("", {}, (page) =>
      page.route(/\/demo\/ocean\/|\.wasm$/, async (route) => {
        await held;
        await route.continue();
      }),
    );
    await demo.page.waitForFunction(
      () => performance.getEntriesByName("first-contentful-paint").length === 1,
    );
    await demo.page.fill("#line", "3 May 2021");
    assert.ok(await demo.page.isDisabled("#run"));
    release();
    await ready(demo.page);
    assert.equal(await demo.page.inputValue("#line"), "3 May 2021");
  });

  test("the first paint waits for less than 50 KB, all of it the page's own", async () => {
    await demo.open();
    const blocking = await demo.page.evaluate(() =>
      (performance.getEntriesByType("resource") as PerformanceResourceTiming[])
        .filter(
          (entry) =>
            (entry as unknown as { renderBlockingStatus: string }).renderBlockingStatus === "blocking",
        )
        .map(({ name, decodedBodySize }) => ({ name, decodedBodySize })),
    );
    assert.ok(blocking.length >= 2, "styles and theme are expected here");
    assert.ok(blocking.every(({ name }) => name.startsWith(demo.site.url)));
    const bytes = blocking.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
    assert.ok(bytes > 0 && bytes < 50_000, `${bytes} bytes of ${blocking.map(({ name }) => name)}`);
  });

  for (const width of [390, 1440]) {
    test(`nothing jumps while it loads and answers, ${width} pixels wide`, async () => {
      await demo.open("", { viewport: { width, height: 900 } });
      await ask(demo.page, "ab 12");
      await answered(demo.page);
      const shift = await layoutShift();
      assert.ok(
        shift < 0.1,
        `a cumulative layout shift of ${shift.toFixed(3)}; less than 0.1 is called good`,
      );
    });
  }

  test("to load and to answer never keeps the main thread for 50 ms, the model works elsewhere", async () => {
    await demo.visit("", {}, async () => {});
    const longest = await longestTaskMilliseconds(demo.page, async () => {
      await demo.page.reload();
      await ready(demo.page);
      await ask(demo.page, "ab 12");
      await answered(demo.page);
    });
    assert.ok(longest < 50, `${longest.toFixed(1)} ms`);
  });

  test("every picture has its size, the document says what it is, and nothing is complained of", async () => {
    const complaints: string[] = [];
    await demo.visit("", { serviceWorkers: "allow" }, async (page) => {
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text());
      });
    });
    await ready(demo.page);
    const found = await demo.page.evaluate(() => ({
      unsized: [...document.images].filter(
        (image) => !image.hasAttribute("width") || !image.hasAttribute("height"),
      ).length,
      elements: document.querySelectorAll("*").length,
      title: document.title,
      description: document.querySelector<HTMLMetaElement>("meta[name=description]")?.content ?? "",
      language: document.documentElement.lang,
      viewport: document.querySelector<HTMLMetaElement>("meta[name=viewport]")?.content ?? "",
      doctype: document.compatMode,
    }));
    assert.deepEqual(complaints, []);
    assert.equal(found.unsized, 0);
    assert.ok(found.elements < 1500, `${found.elements} elements`);
    assert.ok(found.title.length > 10 && found.description.length > 40);
    assert.equal(found.language, "en");
    assert.match(found.viewport, /width=device-width/);
    assert.equal(found.doctype, "CSS1Compat");
  });
});

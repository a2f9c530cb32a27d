// A column of 10,000 rows in Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { columnState, DemoTests, download } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

test("a column of 10,000 rows never holds the page up for 50 ms, takes no memory to speak of, stops and goes on", async () => {
  const rows = 10_000;
  await demo.open("#column");
  const line = (row: number) => `${row},"note ${row}, ü",r ${row}`;
  const file = `id,note,text\r\n${Array.from({ length: rows }, (_, row) => line(row)).join("\r\n")}\r\n`;
  await demo.page.evaluate(() => {
    const longest = { task: 0 };
    Object.assign(globalThis, { longest });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.task = Math.max(longest.task, duration);
    }).observe({ type: "longtask" });
  });
  const session = await demo.page.context().newCDPSession(demo.page);
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
  await demo.page.setInputFiles("#batch-file", {
    name: "many.csv",
    mimeType: "text/csv",
    buffer: Buffer.from(file),
  });
  await demo.page.waitForSelector("#batch table");
  await demo.page.selectOption("#batch-column", "2");
  const before = await heap();
  await demo.page.click("#batch button.primary");
  await demo.page.waitForFunction(
    () => Number(document.querySelector<HTMLProgressElement>("#batch progress")?.value) > 500,
  );
  assert.match(
    (await demo.page.textContent("#batch .pace")) ?? "",
    /of 10,000 rows · [\d,.]+ rows per second · .* left/,
  );
  await demo.page.click("#batch button.primary");
  await columnState(demo.page, "Stopped");
  const stoppedAt = await demo.page
    .locator("#batch progress")
    .evaluate((bar) => (bar as HTMLProgressElement).value);
  assert.ok(stoppedAt > 500 && stoppedAt < rows, `stopped at ${stoppedAt}`);
  await demo.page.waitForTimeout(300);
  const later = await demo.page
    .locator("#batch progress")
    .evaluate((bar) => (bar as HTMLProgressElement).value);
  assert.equal(later, stoppedAt, "it went on after it was stopped");
  await demo.page.click("#batch button.primary");
  await columnState(demo.page, "Done", 240_000);
  const after = await heap();
  const { text } = await download(demo.page, "Download");
  const clean = (row: number) => `${row},"note ${row}, ü",R ${row}`;
  assert.equal(
    text,
    `id,note,text\r\n${Array.from({ length: rows }, (_, row) => clean(row)).join("\r\n")}\r\n`,
  );
  assert.ok((await demo.page.locator("#batch tbody tr").count()) <= 25, "all rows are in the page at once");
  const grownBytes = after - before;
  assert.ok(grownBytes < 20_000_000, `the page's memory grew by ${grownBytes} bytes`);
  const longest = await demo.page.evaluate(
    () => (globalThis as unknown as { longest: { task: number } }).longest.task,
  );
  assert.ok(longest <= 50, `the page stood still for ${longest} ms`);
});

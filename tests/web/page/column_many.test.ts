// A column of 10,000 rows in Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { columnState, DemoTests, download, ready } from "../demo_site.ts";
import { longestTaskMilliseconds } from "../main_thread.ts";

const demo = new DemoTests(demoOcean());

const ROWS = 10_000;

/** More than this is seen as a pause. */
const LONGEST_MILLISECONDS = 50;

const fileOf = (textOf: (row: number) => string) =>
  `id,note,text\r\n${Array.from({ length: ROWS }, (_, row) => `${row},"note ${row}, ü",${textOf(row)}`).join("\r\n")}\r\n`;

const rowsDone = () =>
  demo.page.locator("#batch progress").evaluate((bar) => (bar as HTMLProgressElement).value);

test("a column of 10,000 rows never holds the page up, takes no memory to speak of, stops, and goes on after a reload", async () => {
  await demo.open("#column");
  const { page } = demo;
  const session = await page.context().newCDPSession(page);
  const usedBytes = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
  const file = Buffer.from(fileOf((row) => row.toString(36)));

  const whileReadAndRun = await longestTaskMilliseconds(page, async () => {
    await page.setInputFiles("#batch-file", { name: "many.csv", mimeType: "text/csv", buffer: file });
    await page.waitForSelector("#batch table");
    await page.selectOption("#batch-column", "2");
    await page.click("#batch button.primary");
    await page.waitForFunction(
      () => Number(document.querySelector<HTMLProgressElement>("#batch progress")?.value) > 1000,
      undefined,
      { timeout: 120_000 },
    );
    const pace = (await page.textContent("#batch .pace")) ?? "";
    assert.match(pace, /of 10,000 rows · [\d,.]+ rows per second · .* left/);
    await page.click("#batch button.primary");
    await columnState(page, "Stopped");
  });
  assert.ok(whileReadAndRun <= LONGEST_MILLISECONDS, `the page stood still for ${whileReadAndRun} ms`);

  const stoppedAt = await rowsDone();
  assert.ok(stoppedAt > 1000 && stoppedAt < ROWS, `stopped at ${stoppedAt}`);
  await page.waitForTimeout(300);
  assert.equal(await rowsDone(), stoppedAt, "it went on after it was stopped");

  const whileBroughtBack = await longestTaskMilliseconds(page, async () => {
    await page.reload();
    await ready(page);
    await columnState(page, "Stopped");
  });
  assert.ok(whileBroughtBack <= LONGEST_MILLISECONDS, `the page stood still for ${whileBroughtBack} ms`);
  assert.equal(await rowsDone(), stoppedAt, "not every row that was done was kept");
  assert.equal(await page.inputValue("#batch-column"), "2");
  await page.getByRole("button", { name: "Why row 51 is so" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Why row 1 is so" }).click();
  await page.waitForSelector("#batch gander-routing");
  assert.equal(await page.textContent(".batch-why .original"), "0");
  await page.getByRole("button", { name: "Close" }).click();

  const before = await usedBytes();
  await page.click("#batch button.primary");
  await columnState(page, "Done", 240_000);
  const grownBytes = (await usedBytes()) - before;
  assert.ok(grownBytes < 10_000_000, `the page's memory grew by ${grownBytes} bytes`);
  assert.ok((await page.locator("#batch tbody tr").count()) <= 25, "all rows are in the page at once");

  let text = "";
  const whileSaved = await longestTaskMilliseconds(page, async () => {
    ({ text } = await download(page, "Download"));
  });
  assert.ok(whileSaved <= LONGEST_MILLISECONDS, `the page stood still for ${whileSaved} ms`);
  assert.equal(
    text,
    fileOf((row) => row.toString(36).toUpperCase()),
  );
});

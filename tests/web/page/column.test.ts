// A column in Chromium, from the file that comes in to the file that goes out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { columnState, DemoTests, download } from "../demo_site.ts";

const demo = new DemoTests(demoOcean());

async function clean(): Promise<void> {
  await demo.page.click("#batch button.primary");
  await columnState(demo.page, "Done");
}

const pick = (name: string, text: string | Buffer) =>
  demo.page.setInputFiles("#batch-file", { name, mimeType: "text/csv", buffer: Buffer.from(text as string) });

test("a column of a CSV file comes back clean, and every other byte as it was", async () => {
  await demo.open("#column");
  const file = `\uFEFFid;text;"a ""note"""\r\n1;"ab;c";x\r\n2;DONE;"y"\r\n3;;z`;
  await pick("people.csv", file);
  await demo.page.waitForSelector("#batch table");
  assert.deepEqual(await demo.page.locator("#batch-column option").allTextContents(), [
    "id",
    "text",
    'a "note"',
  ]);
  await demo.page.selectOption("#batch-column", "1");
  await clean();
  assert.deepEqual(await download(demo.page, "Download"), {
    name: "people.clean.csv",
    text: file.replace("ab;c", "AB;C"),
  });
  assert.match((await demo.page.textContent("#batch [role=status]")) ?? "", /^Done\. 1 row changed\.$/);
});

test("a column may be lines that are pasted into the line", async () => {
  await demo.open();
  await demo.page.evaluate(() => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", "one\ntwo, three\n");
    document
      .getElementById("line")
      ?.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
  });
  await demo.page.waitForSelector("#batch table");
  await clean();
  assert.equal((await download(demo.page, "Download")).text, "ONE\nTWO, THREE\n");
});

test("a column may be dropped, and another separator may be chosen", async () => {
  await demo.open("#column");
  await demo.page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["a,b\nc,d\n"], "table.txt"));
    document
      .getElementById("batch-source")
      ?.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true, bubbles: true }));
  });
  await demo.page.waitForSelector("#batch table");
  assert.equal(await demo.page.inputValue("#batch-separator"), ",");
  await demo.page.selectOption("#batch-separator", "");
  await demo.page.waitForFunction(() => document.querySelectorAll("#batch-column option").length === 1);
  await clean();
  assert.equal((await download(demo.page, "Download")).text, "A,B\nC,D\n");
});

test("a column with nothing in it is said to be empty", async () => {
  await demo.open("#column");
  await demo.page.click("#batch-use");
  assert.match((await demo.page.textContent("#batch")) ?? "", /There is nothing in it/);
});

test("a column leaves rows as they are that have no answer, and stops where the model breaks", async () => {
  await demo.open("#column");
  await demo.page.fill("#batch-paste", "a\npanic\nb");
  await demo.page.click("#batch-use");
  await demo.page.waitForSelector("#batch table");
  await demo.page.click("#batch button.primary");
  await demo.page.waitForSelector("#failure:not([hidden])");
  assert.match((await demo.page.textContent("#failure-title")) ?? "", /Something broke inside/);
  assert.match((await download(demo.page, "Download")).text, /panic/);
});

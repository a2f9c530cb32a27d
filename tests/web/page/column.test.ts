// A column in Chromium, from the file that comes in to the file that goes out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { demoOcean } from "../demo_ocean.ts";
import { answered, columnState, DemoTests, download, ready } from "../demo_site.ts";

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

test("a column that was stopped is there after a reload and goes on where it was; removed, it is gone for good", async () => {
  await demo.open("#column");
  const { page } = demo;
  await pick("people.csv", "id;text\n1;ab\n2;slowly\n3;slowly but surely, and for a long time\n4;cd\n");
  await page.selectOption("#batch-column", "1");
  await page.click("#batch button.primary");
  await page.waitForFunction(() => document.querySelectorAll("#batch tbody button").length >= 2);
  await page.click("#batch button.primary");
  await columnState(page, "Stopped");
  const done = await page.locator("#batch tbody button").count();
  assert.ok(done < 4, "it was done before it could be stopped");
  await page.waitForTimeout(200);
  await page.reload();
  await ready(page);
  await columnState(page, "Stopped");
  assert.equal(await page.textContent("#batch-name"), "people.csv");
  assert.equal(await page.locator("#batch tbody button").count(), done);
  await clean();
  const { text } = await download(page, "Download");
  assert.equal(text, "id;text\n1;AB\n2;SLOWLY\n3;SLOWLY BUT SURELY, AND FOR A LONG TIME\n4;CD\n");

  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.waitForSelector("#batch", { state: "hidden" });
  await page.waitForTimeout(200);
  await page.reload();
  await ready(page);
  await page.waitForTimeout(200);
  assert.ok(await page.isHidden("#batch"));
});

test("why a row became what it is opens from the routing that was kept, and closes where it was opened", async () => {
  await demo.open("#column");
  const { page } = demo;
  await page.fill("#batch-paste", "ab 1\n\ncd\n");
  await page.click("#batch-use");
  await clean();
  assert.equal(await page.locator("#batch tbody button").count(), 2, "an empty row has nothing to explain");
  await page.getByRole("button", { name: "Why row 1 is so" }).click();
  const panel = page.locator(".batch-why");
  // The routing comes from the browser's database.
  await panel.waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Why row 1 is so");
  assert.equal(await panel.locator(".output").textContent(), "AB 1");
  assert.match((await panel.locator(".sentences").textContent()) ?? "", /The letters (wrote|led) “AB”/);
  const label = await panel.locator("gander-routing [role=gridcell]").getAttribute("aria-label");
  assert.match(label ?? "", /^Token 1 “A”, all layers: The letters \d+ %/);
  await page.getByRole("button", { name: "Close" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.ariaLabel), "Why row 1 is so");
});

test("a row whose routing was not kept is asked again to see why", async () => {
  await demo.open("#column");
  const { page } = demo;
  // The second line of a pair is answered from the first.
  await page.fill("#batch-paste", "ab\nab\n");
  await page.click("#batch-use");
  await clean();
  await page.getByRole("button", { name: "Ask row 2 again to see why" }).click();
  await answered(page);
  assert.ok(await page.isVisible("#view-ask"));
  assert.equal(await page.textContent("#output"), "AB");
});

test("where a browser keeps nothing, a column is cleaned and explained all the same", async () => {
  await demo.visit("#column", {}, (page) =>
    page.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("storage is forbidden", "SecurityError");
      };
    }),
  );
  const { page } = demo;
  await ready(page);
  await page.fill("#batch-paste", "ab\n");
  await page.click("#batch-use");
  await clean();
  assert.match(
    (await page.textContent("#batch")) ?? "",
    /gone when this tab is closed: storage is forbidden/,
  );
  await page.getByRole("button", { name: "Why row 1 is so" }).click();
  await page.waitForSelector(".batch-why gander-routing");
});

// The demo as visitors get it: the real engine and the ocean that comes with the repository.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { RoutingTrace } from "../../../www/src/trace.ts";
import { serveBuiltSite } from "../built_site.ts";
import { launchChromium } from "../chromium.ts";
import { type NativeAnswer, nativeAnswer, ocean } from "../native_answer.ts";

let server: { url: string; close: () => Promise<void> };
let browser: Browser;
let page: Page;
let lines: { text: string }[];

before(async () => {
  lines = JSON.parse(readFileSync(join(ocean, "examples.json"), "utf8")).lines;
  server = await serveBuiltSite();
  browser = await launchChromium();
  page = await browser.newPage();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Asks, and waits for the answer. */
async function ask(text: string): Promise<void> {
  await page.fill("#line", text);
  await page.press("#line", "Enter");
  await page.waitForFunction(() => /tokens in/.test(document.getElementById("progress")?.textContent ?? ""));
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
    await ask(text);
    const answer = await page.textContent("#output");
    assert.equal(answer, nativeAnswer(text).text);
    const label = await page.locator("#why [role=gridcell]").first().getAttribute("aria-label");
    assert.match(label ?? "", /^Token 1 .+, all layers: .+ \d+ %/);
    assert.match((await page.textContent("#why .sentences")) ?? "", /(wrote|led) “.+” ?(:|with) ?\d+/);
  });
}

test("on a phone, the map scrolls in its own box and nothing widens the page", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await ask(lines[0]?.text ?? "");
  const widths = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.querySelector("gander-routing")?.shadowRoot?.querySelector(".scroller")?.scrollWidth ?? 0,
  ]);
  assert.equal(widths[0], 390);
  assert.ok((widths[1] ?? 0) > 390, "the map is wider than a phone, or this tests nothing");
});

/** The catalogue's titles, by id. */
function titles(): Record<string, string> {
  const { experts } = JSON.parse(readFileSync(join(ocean, "catalog.json"), "utf8")) as {
    experts: { id: string; title: string }[];
  };
  return Object.fromEntries(experts.map(({ id, title }) => [id, title]));
}

/** The expert with the most of the routed weight of the output. */
function leaderOf({ routing = [] }: NativeAnswer): string {
  const sums = new Map<string, number>();
  for (const { module, experts, weights } of routing) {
    if (!module.startsWith("decoder.") || /EncDecAttention\.[kv]$/.test(module)) continue;
    for (const [slot, expert] of experts.entries()) {
      sums.set(expert, (sums.get(expert) ?? 0) + (weights[slot] ?? 0));
    }
  }
  const [leader] = [...sums].sort(([, a], [, b]) => b - a);
  return leader?.[0] ?? assert.fail("no expert took part");
}

test("every cell of the map says what the native program's trace says, of the line and of the answer", async () => {
  const text = lines[0]?.text ?? "";
  const { routing = [] } = nativeAnswer(text, "--trace");
  const titleOf = titles();
  await ask(text);
  const shown: { module: string; token: number; experts: string[][] }[] = [];
  for (const view of ["output", "input"]) {
    shown.push(...(await page.locator("#why > .card gander-routing").evaluate(readMap, view)));
  }
  const place = ({ module, token }: { module: string; token: number }) => `${module} ${token}`;
  assert.equal(shown.length, routing.length);
  const cells = new Map(shown.map((cell) => [place(cell), cell.experts]));
  for (const choice of routing) {
    const percents = choice.weights.map((weight) => Math.round(weight * 100));
    const names = choice.experts.map((id) => titleOf[id]);
    const cell = cells.get(place(choice)) ?? [];
    assert.deepEqual(
      cell.map(([name]) => name),
      names,
      place(choice),
    );
    // The program in the browser rounds its sums in another order.
    for (const [slot, [, percent]] of cell.entries()) {
      assert.ok(Math.abs(Number(percent) - (percents[slot] ?? 0)) <= 1, `${place(choice)}: ${percent}`);
    }
  }
});

/** Goes through the whole map by keyboard, and reads what stands beside it. */
function readMap(map: Element, view: string) {
  map.setAttribute("view", view);
  const root = map.shadowRoot;
  const press = (key: string, ctrlKey = false) => {
    const options = { key, ctrlKey, bubbles: true, composed: true };
    root?.querySelector("[role=gridcell]")?.dispatchEvent(new KeyboardEvent("keydown", options));
  };
  const numberOf = (name: string) => Number(root?.querySelector("[role=grid]")?.getAttribute(name));
  press("Home", true);
  const cells: { module: string; token: number; experts: string[][] }[] = [];
  for (let row = 1; row < numberOf("aria-rowcount"); row++) {
    press("Home");
    press("ArrowDown");
    for (let token = 0; token < numberOf("aria-colcount"); token++) {
      const module = root?.querySelector(".module")?.textContent?.split(" · ")[1] ?? "";
      const items = [...(root?.querySelectorAll(".weights li") ?? [])];
      const textIn = (item: Element, part: string) => item.querySelector(part)?.textContent ?? "";
      const experts = items.map((item) => [textIn(item, ".name"), textIn(item, ".number").replace(" %", "")]);
      cells.push({ module, token, experts });
      press("ArrowRight");
    }
  }
  return cells;
}

test("an expert switched off leaves another answer, the native program's without it, and its differences are marked", async () => {
  const text = lines[0]?.text ?? "";
  await ask(text);
  const leader = leaderOf(nativeAnswer(text, "--trace"));
  const title = titles()[leader] ?? "";
  await page.locator("#why .switch", { hasText: title }).click();
  await page.waitForSelector("#why .columns article");
  const output = page.locator("#why .columns .output");
  assert.equal(await output.nth(0).textContent(), nativeAnswer(text).text);
  assert.equal(await output.nth(1).textContent(), nativeAnswer(text, "--exclude", leader).text);
  assert.ok((await output.nth(0).locator("del").count()) > 0);
  assert.ok((await output.nth(1).locator("ins").count()) > 0);
  const without = (await page.locator("#why .columns gander-routing").nth(1).textContent()) ?? "";
  assert.ok(!without.includes(title), without);

  await page.selectOption("#what-if-strategy", "none");
  await page.waitForSelector("#why .columns h4:text('Without any expert')");
  assert.equal(await output.nth(1).textContent(), nativeAnswer(text, "--strategy", "none").text);
  await page.selectOption("#what-if-strategy", `alone:${leader}`);
  await page.waitForSelector(`#why .columns h4:text('With ${title} alone')`);
  assert.equal(await output.nth(1).textContent(), nativeAnswer(text, "--include", leader).text);
  await page.selectOption("#what-if-strategy", "");
});

test("the routing is saved as it is", async () => {
  const text = lines[0]?.text ?? "";
  await ask(text);
  const download = async (button: string) => {
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: button }).click();
    return readFileSync(await (await coming).path(), "utf8");
  };
  const trace = RoutingTrace.fromJSON(JSON.parse(await download("Save as JSON")));
  const { routing = [] } = nativeAnswer(text, "--trace");
  assert.equal([...trace].length, routing.length);
  assert.equal(
    trace.output.tokens
      .map((token) => token.text)
      .join("")
      .trim(),
    nativeAnswer(text).text,
  );
  assert.equal(
    trace.input.tokens
      .map((token) => token.text)
      .join("")
      .trim(),
    text,
  );
  const lineCount = routing.reduce((sum, { experts }) => sum + experts.length, 1);
  assert.equal((await download("Save as CSV")).split("\r\n").length - 1, lineCount);
});

// <gander-routing> by itself: on the page of its documentation, and on one with the strictest content policy.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { BrowserContextOptions, Page } from "playwright-core";
import type { GanderRoutingElement } from "../../../www/src/routing_element.ts";
import { RoutingTrace } from "../../../www/src/trace.ts";
import type { RoutedChoice } from "../../../www/src/types.ts";
import { demoOcean, markup } from "../demo_ocean.ts";
import { DemoSite } from "../demo_site.ts";
import { longestTaskMilliseconds } from "../main_thread.ts";

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'";
const strict = `<!doctype html><html lang="en"><meta charset="utf-8"><title>strict</title>
<meta name="color-scheme" content="light dark"><meta http-equiv="Content-Security-Policy" content="${policy}">
<main><h1>Routing</h1><gander-routing></gander-routing></main></html>`;

/** The page in the documentation, which finds its files where this site has them. */
function documentedPage(): string {
  const [, page = ""] = /```html\n(.*?)```/s.exec(readFileSync("docs/routing-element.md", "utf8")) ?? [];
  return page.replaceAll("./gander/", "/dist/").replaceAll("./ocean/", "/demo/ocean/");
}

let site: DemoSite;
let page: Page;
let problems: string[];

before(async () => {
  site = await DemoSite.start({ ...demoOcean(), "strict.html": strict, "documented.html": documentedPage() });
});
after(() => site?.stop());
afterEach(async () => {
  await page.context().close();
  assert.deepEqual(problems, []);
});

async function open(name: string, options: BrowserContextOptions = {}): Promise<void> {
  ({ page, problems } = await site.newPage(options));
  await page.goto(`${site.url}demo/ocean/${name}`);
}

/** Three tokens in two blocks of two layers, all weights different. */
function smallTrace(experts = ["date", "time", "money"]): RoutingTrace {
  const names = ["block.0.layer.0.SelfAttention.q", "block.1.layer.2.DenseReluDense.wo"];
  const choices = ["encoder", "decoder"].flatMap((stack, side) =>
    names.flatMap((name, layer) =>
      [0, 1, 2].map((token): RoutedChoice => {
        const weight = 0.5 + (side * 6 + layer * 3 + token + 1) / 32;
        const [first, second] = [experts[(token + layer) % 3] ?? "", experts[(token + layer + 1) % 3] ?? ""];
        return { module: `${stack}.${name}`, token, experts: [first, second], weights: [weight, 1 - weight] };
      }),
    ),
  );
  const tokens = ["see", " 2021", ""].map((text, id) => ({ id, text }));
  return RoutingTrace.fromChoices(choices, tokens, tokens);
}

async function show(trace: RoutingTrace, experts: { id: string; title: string }[] = []): Promise<void> {
  await page.evaluate(
    async ({ json, experts }) => {
      const { RoutingTrace } = await import(`${location.origin}/dist/index.js`);
      await import(`${location.origin}/dist/routing_element.js`);
      const map = document.querySelector("gander-routing") as GanderRoutingElement;
      map.experts = experts;
      map.trace = RoutingTrace.fromJSON(JSON.parse(json));
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    },
    { json: JSON.stringify(trace), experts },
  );
}

const label = () => page.locator("[role=gridcell]").getAttribute("aria-label");

/** The canvas so many pixels beside where a share of a cell ends, as [red, green, blue]. The cell itself says where it is. */
function colourAt(share: number, pixels = 0): Promise<number[]> {
  return page.locator("gander-routing").evaluate(
    async (map, { share, pixels }) => {
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      const canvas = map.shadowRoot?.querySelector("canvas") as HTMLCanvasElement;
      const cell = map.shadowRoot?.querySelector("[role=gridcell]") as HTMLElement;
      const [box, whole] = [cell.getBoundingClientRect(), canvas.getBoundingClientRect()];
      const scale = canvas.width / whole.width;
      // Near the cell's lower edge: letters are in its middle.
      const x = Math.floor(box.left - whole.left + box.width * share + pixels) * scale;
      const y = (box.bottom - whole.top - 3) * scale;
      return [...(canvas.getContext("2d")?.getImageData(x, y, 1, 1).data ?? [])].slice(0, 3);
    },
    { share, pixels },
  );
}

const orange = [230, 159, 0];
const skyBlue = [86, 180, 233];
const green = [0, 158, 115];

test("the page in the documentation runs as it stands there", async () => {
  await open("documented.html");
  await page.waitForFunction(() => document.forms[0]?.onsubmit);
  await page.fill("input", "ab 1");
  await page.click("form button");
  await page.waitForSelector("gander-routing [role=gridcell]");
  assert.equal(await page.textContent("#answer"), "AB 1");
  assert.equal(await label(), "Token 1 “A”, all layers: The letters 75 %, The signs 25 %");
});

describe("under the strictest content policy", () => {
  beforeEach(() => open("strict.html"));

  test("every cell is divided as the trace says, in the colours of the legend", async () => {
    const trace = smallTrace();
    await show(trace);
    await page.locator("[role=gridcell]").focus();
    const colours: Record<string, number[]> = { date: orange, time: skyBlue, money: green };
    for (const [module, name] of [
      [0, "decoder block 0, self q"],
      [1, "decoder block 1, feed forward wo"],
    ] as const) {
      await page.keyboard.press("ArrowDown");
      for (const token of [0, 1, 2]) {
        const [best, other] = trace.output.at(token, module);
        assert.ok(best && other);
        const percents = [best, other].map(({ expert, weight }) => `${expert} ${Math.round(weight * 100)} %`);
        const spoken = ["“see”", "“2021”", "without text"][token];
        assert.equal(await label(), `Token ${token + 1} ${spoken}, ${name}: ${percents.join(", ")}`);
        assert.deepEqual(await colourAt(best.weight, -2), colours[best.expert], `${token} ${module} best`);
        assert.deepEqual(await colourAt(best.weight, 1), colours[other.expert], `${token} ${module} other`);
        const shown = await page.locator(".detail .weights li").allTextContents();
        assert.deepEqual(
          shown.map((text) => text.slice(1)),
          percents.map((text) => text.replace(" ", "")),
        );
        await page.keyboard.press("ArrowRight");
      }
      await page.keyboard.press("Home");
    }
  });

  test("the keyboard reaches every corner and stays inside, and each cell that it comes to has the focus", async () => {
    await show(smallTrace());
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    const place = () =>
      page.locator("gander-routing").evaluate((map) => {
        const cell = map.shadowRoot?.activeElement;
        return [cell?.parentElement?.ariaRowIndex, cell?.ariaColIndex].map(Number);
      });
    assert.deepEqual(await place(), [1, 1], "the third stop of the Tab key is the map");
    for (const [key, expected] of [
      ["ArrowUp", [1, 1]],
      ["ArrowLeft", [1, 1]],
      ["ArrowRight", [1, 2]],
      ["ArrowDown", [2, 2]],
      ["End", [2, 3]],
      ["ArrowRight", [2, 3]],
      ["PageDown", [3, 3]],
      ["ArrowDown", [3, 3]],
      ["Home", [3, 1]],
      ["Control+Home", [1, 1]],
      ["Control+End", [3, 3]],
    ] as const) {
      await page.keyboard.press(key);
      assert.deepEqual(await place(), expected, key);
    }
    const grid = page.locator("[role=grid]");
    assert.equal(await grid.getAttribute("aria-rowcount"), "3");
    assert.equal(await grid.getAttribute("aria-colcount"), "3");
  });

  test("a click chooses a cell and says so, and a pointer over a cell only shows it", async () => {
    const trace = smallTrace();
    await show(trace);
    await page.evaluate(() => {
      document.addEventListener("gander-routing-select", (event) => {
        document.body.dataset.selected = JSON.stringify((event as CustomEvent).detail);
      });
    });
    await page.keyboard.press("Tab");
    const box = await page.locator("canvas").boundingBox();
    const cell = await page.locator("[role=gridcell]").boundingBox();
    assert.ok(box && cell);
    // Below "all layers" and the block's title.
    const [x, y] = [cell.x + cell.width / 2, cell.y + 16 + 20 + 8];
    await page.mouse.move(x, y);
    assert.match(
      (await page.textContent(".detail")) ?? "",
      /self q.*decoder\.block\.0\.layer\.0\.SelfAttention\.q/,
    );
    assert.match((await label()) ?? "", /all layers/);
    await page.mouse.click(x, y);
    assert.match((await label()) ?? "", /self q/);
    const selected = JSON.parse((await page.locator("body").getAttribute("data-selected")) ?? "null");
    assert.equal(selected.view, "output");
    assert.equal(selected.token, 0);
    assert.equal(selected.module, trace.output.modules[0]);
    assert.deepEqual(
      selected.experts,
      trace.output.at(0, 0).map(({ expert, weight }) => ({ expert, share: weight })),
    );
  });

  test("the input's side is shown by its button and by the attribute", async () => {
    await show(smallTrace());
    await page.click("text=Input");
    assert.equal(await page.getAttribute("gander-routing", "view"), "input");
    await page.locator("[role=gridcell]").focus();
    await page.keyboard.press("ArrowDown");
    assert.match((await label()) ?? "", /encoder block 0, self q: date 53 %, time 47 %/);
    await page.locator("gander-routing").evaluate((map) => map.removeAttribute("view"));
    assert.match((await label()) ?? "", /decoder block 0/);
  });

  test("a cell tells who would have been next, all layers together do not", async () => {
    const json = JSON.parse(JSON.stringify(smallTrace()));
    const cells = json.output.tokens.length * json.output.modules.length;
    const nextChoices = Array.from({ length: cells }, () => [2, -1]).flat();
    const nextWeights = Array.from({ length: cells }, () => [0.125, 0]).flat();
    Object.assign(json.output, { runnersUp: 2, nextChoices, nextWeights });
    await show(RoutingTrace.fromJSON(json), [{ id: json.experts[2], title: "The third" }]);
    const next = page.locator(".detail ul.next li");
    assert.equal(await next.count(), 0);
    await page.locator("[role=gridcell]").focus();
    await page.keyboard.press("ArrowDown");
    assert.match((await label()) ?? "", /: date 72 %, time 28 %; next The third$/);
    assert.deepEqual(await next.allTextContents(), ["The third13 %"]);
  });

  test("titles, ids and texts are text, whatever they contain", async () => {
    const trace = smallTrace([markup, "__proto__", "constructor"]);
    const hostile = { ...JSON.parse(JSON.stringify(trace)) };
    for (const side of ["input", "output"]) hostile[side].tokens[1].text = markup;
    await show(RoutingTrace.fromJSON(hostile), [{ id: markup, title: markup }]);
    await page.click("summary");
    await page.locator("[role=gridcell]").focus();
    await page.keyboard.press("ArrowRight");
    const inside = await page.locator("gander-routing").evaluate((map) => ({
      elements: map.shadowRoot?.querySelectorAll("img, script").length,
      table: map.shadowRoot?.querySelector("table")?.textContent,
      legend: map.shadowRoot?.querySelector(".legend")?.textContent,
    }));
    assert.equal(inside.elements, 0);
    assert.ok(inside.table?.includes(markup));
    assert.ok(inside.legend?.includes(markup) && inside.legend.includes("__proto__"));
    assert.equal(await page.title(), "strict");
  });

  test("a table says the same to those who cannot use a map", async () => {
    const trace = smallTrace();
    await show(trace);
    await page.click("summary");
    const rows = await page.locator("tbody tr").allTextContents();
    const [first] = trace.output.byToken(0);
    assert.ok(first);
    assert.equal(rows.length, 3);
    assert.ok(rows[0]?.startsWith(`1“see”${first.expert} ${Math.round(first.share * 100)} %`), rows[0]);
  });

  test("the legend shows one expert alone, and all again", async () => {
    await show(smallTrace());
    await page.locator("[role=gridcell]").focus();
    await page.keyboard.press("ArrowDown");
    const button = page.locator(".legend button", { hasText: "time" });
    await button.click();
    assert.notDeepEqual(await colourAt(0.2), orange);
    assert.deepEqual(await colourAt(0.8), skyBlue);
    await button.click();
    assert.deepEqual(await colourAt(0.2), orange);
  });

  test("experts beyond the eighth have a pattern, and all have letters of their own", async () => {
    const experts = Array.from({ length: 30 }, (_, index) => ({ id: `e${index}`, title: `Expert ${index}` }));
    await show(smallTrace(["e0", "e8", "e29"]), experts);
    const badges = await page
      .locator(".legend .badge")
      .evaluateAll((all) =>
        all.map((badge) => [badge.textContent, getComputedStyle(badge).backgroundImage !== "none"]),
      );
    assert.deepEqual(badges.toSorted(), [
      ["A", false],
      ["D2", true],
      ["I", true],
    ]);
  });

  test("a change between light and dark reaches the canvas", async () => {
    await show(smallTrace());
    const corner = () =>
      page.locator("canvas").evaluate((canvas) => {
        const context = (canvas as HTMLCanvasElement).getContext("2d");
        return context?.getImageData(2, 2, 1, 1).data[0] ?? 0;
      });
    assert.equal(await corner(), 255);
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction(() => {
      const canvas = document.querySelector("gander-routing")?.shadowRoot?.querySelector("canvas");
      return (canvas?.getContext("2d")?.getImageData(2, 2, 1, 1).data[0] ?? 255) < 80;
    });
  });

  test("a trace without experts, and none at all, are said or left out", async () => {
    await show(RoutingTrace.fromChoices([], [], [{ id: 1, text: "x" }]));
    assert.match((await page.textContent("gander-routing .muted")) ?? "", /the base model computed alone/);
    assert.ok(await page.isHidden("gander-routing .body"));
    await page.locator("gander-routing").evaluate((map) => {
      (map as GanderRoutingElement).trace = null;
    });
    assert.equal(await page.locator("gander-routing :visible").count(), 0);
  });

  test("a trace is taken as JSON too, and what is none is refused by name", async () => {
    await show(smallTrace());
    const outcome = await page.locator("gander-routing").evaluate(
      (map, json) => {
        const codeOf = (trace: unknown) => {
          try {
            (map as GanderRoutingElement).trace = trace as RoutingTrace;
            return "taken";
          } catch (error) {
            return (error as { code: string }).code;
          }
        };
        return [JSON.parse(json), { format: "else" }, {}].map(codeOf);
      },
      JSON.stringify(smallTrace(["a", "b", "c"])),
    );
    assert.deepEqual(outcome, ["taken", "invalid-file", "invalid-option"]);
    assert.match((await label()) ?? "", /: b 55 %, a 36 %, c 9 %/, "the one that was taken stays");
  });

  test("a trace that was set before the element was defined is shown", async () => {
    await page.evaluate(async (json) => {
      const { RoutingTrace } = await import(`${location.origin}/dist/index.js`);
      const map = document.querySelector("gander-routing") as GanderRoutingElement;
      map.trace = RoutingTrace.fromJSON(JSON.parse(json));
      await import(`${location.origin}/dist/routing_element.js`);
    }, JSON.stringify(smallTrace()));
    assert.match((await label()) ?? "", /^Token 1 “see”/);
  });
});

/** Every token with words of its own in every layer of a T5 with twelve blocks. */
function largeTrace(): RoutingTrace {
  const parts = ["0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v", "0.SelfAttention.o"];
  const others = ["1.EncDecAttention.q", "1.EncDecAttention.o", "2.DenseReluDense.wi", "2.DenseReluDense.wo"];
  const modules = Array.from({ length: 12 }, (_, block) =>
    [...parts, ...others].map((part) => `decoder.block.${block}.layer.${part}`),
  ).flat();
  const tokens = Array.from({ length: 512 }, (_, id) => ({ id, text: ` word${id}` }));
  const choices = modules.flatMap((module, layer) =>
    tokens.map(({ id: token }): RoutedChoice => {
      const experts = [`e${(token + layer) % 12}`, `e${(token * 7 + layer + 1) % 11}`];
      return { module, token, experts, weights: [0.75, 0.25] };
    }),
  );
  return RoutingTrace.fromChoices(choices, [], tokens);
}

test("a finger chooses a cell, and finds it tall enough", async () => {
  await open("strict.html", { hasTouch: true, isMobile: true, viewport: { width: 390, height: 844 } });
  await show(smallTrace());
  const cell = await page.locator("[role=gridcell]").boundingBox();
  assert.ok(cell);
  assert.ok(cell.height >= 20, `${cell.height} pixels`);
  // Below "all layers" and the block's title.
  await page.touchscreen.tap(cell.x + cell.width / 2, cell.y + 22 + 20 + 11);
  assert.match((await label()) ?? "", /^Token 1 .* self q/);
  assert.match((await page.textContent(".detail")) ?? "", /self q/);
});

test("512 tokens by 96 layers are drawn, scrolled and walked through without a pause of 50 ms", async () => {
  await open("strict.html", { viewport: { width: 1440, height: 900 } });
  await show(smallTrace());
  const json = JSON.stringify(largeTrace());
  await page.evaluate(async (json) => {
    const { RoutingTrace } = await import(`${location.origin}/dist/index.js`);
    Object.assign(globalThis, { large: RoutingTrace.fromJSON(JSON.parse(json)) });
  }, json);
  const longest = await longestTaskMilliseconds(page, async () => {
    await page.evaluate(async () => {
      const map = document.querySelector("gander-routing") as GanderRoutingElement;
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      map.trace = (globalThis as unknown as { large: RoutingTrace }).large;
      await frame();
      await frame();
      const scroller = map.shadowRoot?.querySelector(".scroller") as HTMLElement;
      for (let step = 0; step < 10; step++) {
        scroller.scrollBy(3000, 150);
        await frame();
      }
      const cell = () => map.shadowRoot?.querySelector("[role=gridcell]");
      for (let step = 0; step < 20; step++) {
        cell()?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
        await frame();
      }
      cell()?.dispatchEvent(new KeyboardEvent("keydown", { key: "End", ctrlKey: true, bubbles: true }));
      await frame();
    });
  });
  assert.match((await label()) ?? "", /^Token 512 “word511”, decoder block 11, feed forward wo: /);
  assert.ok(longest < 50, `the main thread was kept for ${longest} ms`);
});

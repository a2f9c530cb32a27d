// What a model holds while it lives, and that nothing of it is left afterwards: with the real engine, in Node and in a
// worker.

import assert from "node:assert/strict";
import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import type { Gander } from "../../www/src/index.ts";
import { launchChromium } from "../web/chromium.ts";
import { freshFolder, installed, line, ocean, type Site, serveFolder } from "./support.ts";

type Package = typeof import("../../www/src/index.ts");

let site: Site;
let browser: Browser;
let page: Page;

before(async () => {
  const folder = freshFolder("lifetime");
  cpSync(join(installed, "www/dist"), join(folder, "gander"), { recursive: true });
  symlinkSync(ocean, join(folder, "ocean"));
  cpSync(join(process.cwd(), "docs/examples/browser/index.html"), join(folder, "index.html"));
  site = await serveFolder(folder);
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(`${site.url}gander/`);
});
after(async () => {
  await browser?.close();
  await site?.close();
});

const files = () => ({ base: `${site.url}ocean/base.gguf`, experts: `${site.url}ocean/catalog.json` });

/** Runs in the page with a model of its own in a worker, whose address is on the page as `model`. */
async function inPage<T>(work: (model: Gander, line: string) => Promise<T>): Promise<T> {
  await page.evaluate(
    async ({ module, files }) => {
      const { Gander } = (await import(module)) as Package;
      Object.assign(globalThis, { model: await Gander.load(files) });
    },
    { module: `${site.url}gander/index.js`, files: files() },
  );
  assert.equal(page.workers().length, 1);
  const script = `(${work})(globalThis.model, ${JSON.stringify(line)})`;
  const result = (await page.evaluate(script)) as T;
  await noWorkerLeft();
  return result;
}

/** The browser tells of a worker's end a moment later. */
async function noWorkerLeft(): Promise<void> {
  await Promise.all(page.workers().map((worker) => worker.waitForEvent("close", { timeout: 10_000 })));
}

test("disposing ends the worker, and what ran or waited fails by name", async () => {
  const ends = await inPage(async (model, line) => {
    const calls = [model.generate(line), model.generate(line), model.score(line, ["a", "b"])];
    const codes = Promise.all(
      calls.map((call) =>
        call.then(
          () => "answered",
          (error) => error.code,
        ),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    await model.dispose();
    await model.dispose();
    return [...(await codes), await model.generate(line).then(null, (error) => error.code)];
  });
  assert.deepEqual(ends, ["disposed", "disposed", "disposed", "disposed"]);
});

test("an abort stops an answer, its download and those that wait, and the model stays usable", async () => {
  const texts = await inPage(async (model, line) => {
    const stop = new AbortController();
    const { signal } = stop;
    const calls = [
      model.generate(line, { signal, onProgress: () => stop.abort() }),
      model.generate(line, { signal }),
      model.score(line, ["a", "b"], { signal }),
    ];
    const ends = await Promise.all(
      calls.map((call) =>
        call.then(
          () => "answered",
          (error) => error.code,
        ),
      ),
    );
    const pieces = [];
    for await (const piece of model.generate(line)) {
      pieces.push(piece.text);
      if (pieces.length === 2) break;
    }
    const whole = await model.generate(line);
    await model.dispose();
    return [...ends, pieces.length, whole.text];
  });
  assert.deepEqual(texts, ["aborted", "aborted", "aborted", 2, "the invoice of 2025-10-12"]);
});

test("calls at once are answered in the order of asking", async () => {
  const order = await inPage(async (model, line) => {
    const order: string[] = [];
    const note = (name: string) => () => order.push(name);
    await Promise.all([
      model.generate(`${line}, ${line}`).then(note("long")),
      model.score(line, ["a", "b"]).then(note("score")),
      model.generate("3pm").then(note("short")),
    ]);
    await model.dispose();
    return order;
  });
  assert.deepEqual(order, ["long", "score", "short"]);
});

test("an abort while loading ends the worker", async () => {
  const code = await page.evaluate(
    async ({ module, files }) => {
      const { Gander } = (await import(module)) as Package;
      const stop = new AbortController();
      const loading = Gander.load({ ...files, signal: stop.signal, onProgress: () => stop.abort() });
      return loading.then(
        () => "loaded",
        (error) => error.code,
      );
    },
    { module: `${site.url}gander/index.js`, files: files() },
  );
  assert.equal(code, "aborted");
  await noWorkerLeft();
});

test("a model in the caller's own thread gives its memory back to the next", async () => {
  const memories: WebAssembly.Memory[] = [];
  const { instantiate } = WebAssembly;
  // The module is compiled once for all models; its memory shows how much they took together.
  WebAssembly.instantiate = (async (source: WebAssembly.Module, imports: WebAssembly.Imports) => {
    const made = await instantiate(source, imports);
    const { exports } = "instance" in made ? (made.instance as WebAssembly.Instance) : made;
    memories.push((exports as { memory: WebAssembly.Memory }).memory);
    return made;
  }) as typeof instantiate;
  try {
    const { Gander } = (await import(pathToFileURL(join(installed, "www/dist/index.js")).href)) as Package;
    const sizes: number[] = [];
    for (let round = 0; round < 4; round++) {
      const model = await Gander.load({ ...files(), cache: false });
      assert.equal((await model.generate(line)).text, "the invoice of 2025-10-12");
      await model.dispose();
      sizes.push(memories[0]?.buffer.byteLength ?? 0);
    }
    assert.ok((sizes[0] ?? 0) > 2 ** 20);
    assert.equal(sizes[3], sizes[1], `it grew: ${sizes.join(", ")} bytes`);
  } finally {
    WebAssembly.instantiate = instantiate;
  }
});

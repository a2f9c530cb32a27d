// Threads in Chromium: the same bits on one, two and four; where a page may have none; and what becomes of a model whose helpers do
// not start, or break down.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Gander, GanderError, LoadedDevice, LoadOptions } from "gander";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launchChromium } from "../chromium.ts";
import { workerThreads } from "../worker_threads.ts";

const script = (name: string) => import(pathToFileURL(join(process.cwd(), "scripts", name)).href);

let folder: string;
let isolated: { url: string; close: () => Promise<void> };
let open: { url: string; close: () => Promise<void> };
let browser: Browser;
let context: BrowserContext;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "gander-threads-"));
  cpSync("www/dist", join(folder, "dist"), { recursive: true });
  // The same package, but its helpers throw when they are to help.
  const { bundlePackage } = await script("build/package.mjs");
  const helpless = join(process.cwd(), "tests/web/helpless_engine_module.ts");
  cpSync("www/dist", join(folder, "helpless"), { recursive: true });
  await bundlePackage(join(folder, "helpless"), { "#engine-threads": helpless });
  symlinkSync(join(process.cwd(), "www/demo/ocean"), join(folder, "ocean"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>threads</title>");
  const { serve } = await script("serve/server.mjs");
  isolated = await serve({ folder, port: 0 });
  open = await serve({ folder, port: 0, headers: {} });
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await isolated?.close();
  await open?.close();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => context?.close());

async function pageOf(site: { url: string }): Promise<Page> {
  context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(site.url);
  return page;
}

/** Loads a model into the page. */
function load(
  page: Page,
  options: Pick<LoadOptions, "threads" | "inline"> & { wasmUrl?: string },
  library = "/dist/index.js",
): Promise<LoadedDevice> {
  return page.evaluate(
    async ([library, options]) => {
      const gander = (await import(library)) as { Gander: typeof Gander };
      const files = { base: "ocean/base.gguf", experts: "ocean/catalog.json" };
      const model = await gander.Gander.load({ ...files, device: "cpu", cache: false, ...options });
      Object.assign(globalThis, { model });
      return model.device;
    },
    [library, options] as const,
  );
}

const line = "the invoice of 12-Oct-2025 ";

/** Everything that the page's model computes of a short input and a long one. */
function computed(page: Page): Promise<{ inputs: number[]; all: string }> {
  return page.evaluate(
    async (texts) => {
      const { model } = globalThis as unknown as { model: Gander };
      const answers = [];
      for (const text of texts) {
        const { stats, routing, ...answer } = await model.generate(text, { trace: true, maxNewTokens: 24 });
        answers.push({ ...answer, routing: routing?.toJSON() });
      }
      const scores = await model.score(texts[0] ?? "", ["the invoice of 2025-10-12", "nothing", "12"]);
      const all = JSON.stringify({ answers, scores });
      return { inputs: answers.map(({ inputIds }) => inputIds.length), all };
    },
    [line, line.repeat(16)],
  );
}

test("one, two, four and more threads than there are processors compute the same bits as the plain build", async () => {
  const page = await pageOf(isolated);
  const plain = await load(page, { threads: 1, wasmUrl: "dist/gander_bg.wasm" });
  assert.deepEqual([plain.wasmBuild, plain.threads], ["plain", 1]);
  const expected = await computed(page);
  assert.ok((expected.inputs[0] ?? 0) < 20 && (expected.inputs[1] ?? 0) > 128, `${expected.inputs}`);
  assert.match(expected.all, /2025-10-12/);
  for (const threads of [1, 2, 4, 8]) {
    const device = await load(page, { threads });
    assert.equal(device.threads, threads);
    assert.equal(device.wasmBuild === "threads", threads > 1);
    assert.equal(device.reason, "asked for");
    assert.equal((await computed(page)).all, expected.all, `${threads} threads`);
  }
});

test("an isolated page has as many threads as processors, at most four, and fetches what is for them alone", async () => {
  const page = await pageOf(isolated);
  const fetched: string[] = [];
  context.on("request", (request) => fetched.push(request.url().split("/").at(-1) ?? ""));
  const device = await load(page, {});
  const processors = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.equal(device.threads, Math.min(processors, 4));
  if (processors > 1) {
    assert.ok(fetched.includes("worker_threads.js") && !fetched.includes("worker.js"), `${fetched}`);
    const builds = fetched.filter((name) => name.endsWith(".wasm"));
    assert.deepEqual(builds, ["gander_threads_bg.wasm"]);
  }
});

test("a page that is not isolated computes on one thread, whatever is asked for", async () => {
  const page = await pageOf(open);
  const device = await load(page, { threads: 4 });
  assert.deepEqual([device.wasmBuild, device.threads], ["relaxed", 1]);
});

test("a model on the page's own thread computes on that one alone", async () => {
  const page = await pageOf(isolated);
  const device = await load(page, { threads: 4, inline: true });
  assert.deepEqual([device.wasmBuild, device.threads], ["relaxed", 1]);
});

test("where the page's policy lets no helper start, one thread answers, and the device says why", async () => {
  const page = await pageOf(isolated);
  // The policy of a worker is that of its own response.
  await context.route("**/worker_threads.js", async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers(), "content-security-policy": "worker-src 'none'" };
    await route.fulfill({ response, headers });
  });
  const device = await load(page, { threads: 2 });
  assert.deepEqual([device.wasmBuild, device.threads], ["threads", 1]);
  assert.match(device.reason, /^asked for; on one thread: helper 1 did not start: /);
  assert.match((await computed(page)).all, /2025-10-12/);
});

test("a helper that breaks down fails the answer and breaks the model, and nothing hangs", async () => {
  const page = await pageOf(isolated);
  const device = await load(page, { threads: 2 }, "/helpless/index.js");
  assert.equal(device.threads, 2);
  const outcomes = await page.evaluate(async (text) => {
    const { model } = globalThis as unknown as { model: Gander };
    const outcome = async () => {
      try {
        await model.generate(text);
        return "answered";
      } catch (error) {
        return (error as GanderError).code;
      }
    };
    const outcomes = [await outcome(), await outcome()];
    await model.dispose();
    return outcomes;
  }, line);
  assert.deepEqual(outcomes, ["internal", "internal"]);
});

test("the helpers end with the model", async () => {
  const page = await pageOf(isolated);
  const before = workerThreads();
  await load(page, { threads: 4 });
  await computed(page);
  assert.equal(workerThreads(), before + 4);
  await page.evaluate(() => (globalThis as unknown as { model: Gander }).model.dispose());
  for (let wait = 0; wait < 100 && workerThreads() > before; wait++) {
    await new Promise((go) => setTimeout(go, 100));
  }
  assert.equal(workerThreads(), before);
});

// What the package keeps in a browser: between visits, in all tabs, within a budget, whatever becomes of it; and what it
// tells other servers. The scripted engine, in Chromium.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Gander, GanderError, LoadOptions, Progress } from "gander";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launchChromium } from "../chromium.ts";
import { FaultServer } from "../fault_server.ts";
import { sha256, testOcean } from "../test_ocean.ts";

type Loaded = { model: Gander };

/** The page's own server. */
let home: FaultServer;
/** The ocean's. */
let ocean: FaultServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
const folder = mkdtempSync(join(tmpdir(), "gander-cache-page-"));
const files = testOcean();

before(async () => {
  const script = join(process.cwd(), "scripts/build/package.mjs");
  const { bundlePackage } = await import(pathToFileURL(script).href);
  await bundlePackage(folder, { "#engine": join(process.cwd(), "tests/web/scripted_engine_module.ts") });
  const modules = readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]);
  const index = new TextEncoder().encode("<!doctype html><title>cache</title>");
  home = await new FaultServer({ ...Object.fromEntries(modules), ...files, "index.html": index }).start();
  ocean = await new FaultServer(testOcean()).start();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await home?.stop();
  await ocean?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await open();
  ocean.mend();
  Object.assign(ocean.files, files);
  for (const server of [home, ocean]) server.requests.length = server.seen.length = 0;
});
afterEach(() => context.close());

async function open(): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(`${home.url}index.html`);
  return tab;
}

/** Loads a model into the tab, as `model`. */
function load(
  options: Pick<LoadOptions, "cache" | "inline"> & { base?: string } = {},
  tab = page,
): Promise<void> {
  return tab.evaluate(
    async ([url, options]) => {
      const library = "/index.js";
      const gander = (await import(library)) as { Gander: typeof Gander };
      const network = { backoffMilliseconds: 1 };
      const files = { base: `${url}base.gguf`, experts: `${url}catalog.json`, device: "cpu" as const };
      const model = await gander.Gander.load({ ...files, network, ...options });
      Object.assign(globalThis, { model });
    },
    [ocean.url, options] as const,
  );
}

const generate = (line: string, tab = page) =>
  tab.evaluate(async (line) => {
    const { text, stats } = await (globalThis as unknown as Loaded).model.generate(line);
    return { text, ...stats };
  }, line);
const usage = () => page.evaluate(() => (globalThis as unknown as Loaded).model.cache.usage());
const dispose = () => page.evaluate(() => (globalThis as unknown as Loaded).model.dispose());
const pageRequests = () => ocean.requests.filter((path) => path.startsWith("experts/"));

/** Waits until the pages of an answer are in the cache. */
async function entries(count: number): Promise<void> {
  for (let tries = 0; (await usage()).entries < count; tries++) {
    assert.ok(tries < 200, `there are never ${count} entries`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
}

/** Two notes and pieces each for base, catalogue and gates; four pages. */
const allEntries = 10;

test("what one tab fetched, another finds, also on its own thread", async () => {
  await load();
  assert.equal((await generate("abc!")).pagesFetched, 4);
  await entries(allEntries);
  const requests = pageRequests().length;
  for (const inline of [false, true]) {
    const other = await open();
    await load({ inline }, other);
    const { text, pagesFetched, pagesFromCache } = await generate("abc!", other);
    assert.deepEqual([text, pagesFetched, pagesFromCache], ["ABC!", 0, 4]);
  }
  assert.equal(pageRequests().length, requests);
});

test("the usage is told, and clearing leaves nothing", async () => {
  await load({ cache: { budgetBytes: 100_000 } });
  await generate("abc!");
  await entries(allEntries);
  const { kind, bytes, budgetBytes, quotaBytes, problem } = await usage();
  assert.deepEqual([kind, budgetBytes, problem], ["browser", 100_000, null]);
  const total = ["base.gguf", "catalog.json", "gates.safetensors"].reduce(
    (sum, name) => sum + (files[name]?.length ?? 0),
    4 * 64,
  );
  assert.equal(bytes, total);
  assert.ok((quotaBytes ?? 0) > 1e6);
  await page.evaluate(() => (globalThis as unknown as Loaded).model.cache.clear());
  assert.deepEqual(await page.evaluate(async () => (await (await caches.open("gander-1")).keys()).length), 0);
  assert.equal((await generate("abc!")).text, "ABC!");
});

test("an entry that was altered is dropped and fetched again", async () => {
  await load();
  await generate("abc!");
  await entries(allEntries);
  await dispose();
  const harmed = await page.evaluate(async () => {
    const cache = await caches.open("gander-1");
    const requests = await cache.keys();
    for (const request of requests) await cache.put(request, new Response("something else"));
    return requests.length;
  });
  assert.ok(harmed >= allEntries);
  await load();
  const { text, pagesFetched } = await generate("abc!");
  assert.deepEqual([text, pagesFetched], ["ABC!", 4]);
  await entries(allEntries);
  await dispose();
  await load();
  assert.equal((await generate("abc!")).pagesFromCache, 4);
});

test("the budget holds, and the answer is right", async () => {
  const loaded = (files["base.gguf"]?.length ?? 0) + (files["catalog.json"]?.length ?? 0) + 100;
  await load({ cache: { budgetBytes: loaded + 3 * 64 } });
  assert.equal((await generate("abc!")).text, "ABC!");
  await dispose();
  await load({ cache: { budgetBytes: loaded + 3 * 64 } });
  const { text, pagesFetched, pagesFromCache } = await generate("abc!");
  assert.equal(text, "ABC!");
  assert.equal(pagesFetched + pagesFromCache, 4);
  assert.ok(pagesFetched >= 1);
  assert.ok((await usage()).bytes <= loaded + 3 * 64);
});

test("a browser whose quota is full keeps nothing, answers, and says so", async () => {
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", {
    origin: new URL(home.url).origin,
    quotaSize: 100,
  });
  await load();
  assert.equal((await generate("abc!")).text, "ABC!");
  const { kind, problem } = await usage();
  assert.equal(kind, "browser");
  assert.match(problem ?? "", /Quota/);
  await dispose();
  await load();
  assert.equal((await generate("abc!")).text, "ABC!");
});

test("a browser without storage answers, and says so", async () => {
  await page.evaluate(() => {
    const forbidden = {
      open: async () => {
        throw new DOMException("not in a private window", "SecurityError");
      },
    };
    Object.defineProperty(globalThis, "caches", { value: forbidden });
  });
  await load({ inline: true });
  assert.equal((await generate("abc!")).text, "ABC!");
  const { kind, problem, entries } = await usage();
  assert.deepEqual([kind, entries], ["memory", 4]);
  assert.match(problem ?? "", /private window/);
});

test("cache: false keeps nothing behind", async () => {
  await load({ cache: false });
  await generate("abc!");
  assert.equal((await usage()).kind, "memory");
  assert.deepEqual(await page.evaluate(() => caches.keys()), []);
});

test("a base whose hash is known is not believed otherwise, and options are checked", async () => {
  const codeOf = (options: object) =>
    page.evaluate(
      async ([url, options]) => {
        const library = "/index.js";
        const gander = (await import(library)) as { Gander: typeof Gander };
        const base = `${url}base.gguf`;
        return await gander.Gander.load({ base, ...options }).then(
          () => "none",
          (error: GanderError) => `${error.code} ${error.place.replace(url, "")}`,
        );
      },
      [ocean.url, options] as const,
    );
  const integrity = { [`${ocean.url}base.gguf`]: sha256(files["base.gguf"] as Uint8Array) };
  ocean.fail("base.gguf", "altered");
  assert.equal(await codeOf({ integrity }), "page-mismatch base.gguf");
  ocean.mend();
  assert.equal(await codeOf({ integrity }), "none");
  const requests = ocean.requests.length;
  assert.equal(await codeOf({ integrity }), "none");
  assert.equal(ocean.requests.length, requests);
  assert.equal(await codeOf({ integrity: { "base.gguf": "abc" } }), 'invalid-option integrity["base.gguf"]');
  assert.equal(await codeOf({ network: { attempts: 0 } }), "invalid-option network.attempts");
  assert.equal(await codeOf({ cache: { budgetBytes: "1 GB" } }), "invalid-option cache.budgetBytes");
  assert.equal(await codeOf({ base: "file:///etc/passwd.gguf" }), "invalid-option base");
});

test("prefetching brings all pages of an expert, with progress, and can be stopped", async () => {
  await load();
  const before = (await usage()).entries;
  const { done, reports, code } = await page.evaluate(async () => {
    const { cache } = (globalThis as unknown as Loaded).model;
    const stop = new AbortController();
    const stopped = cache.prefetch(["signs"], { signal: stop.signal }).then(
      () => "none",
      (error: GanderError) => error.code,
    );
    stop.abort();
    const code = await stopped;
    const reports: Progress[] = [];
    const onProgress = (progress: Progress) => reports.push(progress);
    return { done: await cache.prefetch(["letters"], { onProgress }), reports, code };
  });
  assert.equal(code, "aborted");
  assert.deepEqual(done, { pages: 2, bytes: 128, pagesFetched: 2, bytesFetched: 128 });
  assert.deepEqual(reports.at(-1), { phase: "pages", file: "letters", loaded: 128, total: 128 });
  // Pages are kept behind the answer.
  await entries(before + 2);
  const again = await page.evaluate(() =>
    (globalThis as unknown as Loaded).model.cache.prefetch(["letters", "signs", "letters"]),
  );
  assert.deepEqual([again.pages, again.bytesFetched <= 128], [4, true]);
  const { pagesFetched, pagesFromCache } = await generate("abc!");
  assert.deepEqual([pagesFetched, pagesFromCache], [0, 4]);
  const unknown = await page.evaluate(() =>
    (globalThis as unknown as Loaded).model.cache.prefetch(["nobody"]).then(
      () => "none",
      (error: GanderError) => error.code,
    ),
  );
  assert.equal(unknown, "unknown-expert");
});

test("cookies go to nobody but the page's own server, and there not for another's catalogue", async () => {
  // Cookies know no ports: without care, both servers would get it.
  await page.evaluate(() => {
    // biome-ignore lint/suspicious/noDocumentCookie: a cookie is what this is about
    document.cookie = "session=secret";
  });
  const catalog = JSON.parse(new TextDecoder().decode(files["catalog.json"]));
  catalog.experts[0].adapter.url = `${home.url}experts/letters.safetensors`;
  ocean.files["catalog.json"] = new TextEncoder().encode(JSON.stringify(catalog));
  home.seen.length = 0;
  await load({ base: `${home.url}base.gguf` });
  await generate("abc!");
  const cookies = (server: FaultServer, path: string) =>
    server.seen.filter((seen) => seen.path === path).map(({ headers }) => headers.cookie);
  assert.deepEqual(cookies(home, "base.gguf"), ["session=secret"]);
  assert.deepEqual(cookies(home, "experts/letters.safetensors"), [undefined, undefined]);
  assert.ok(ocean.seen.length >= 4);
  assert.ok(ocean.seen.every(({ headers }) => headers.cookie === undefined));
});

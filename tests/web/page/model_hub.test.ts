// An ocean in a repository of models, as hubs serve it: redirects, signed addresses, another origin. The built package with
// the real engine, in Chromium and in Node.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Gander } from "gander";
import type { Browser, Page } from "playwright-core";
import { serveBuiltSite } from "../built_site.ts";
import { launchChromium } from "../chromium.ts";
import { ModelHub } from "../model_hub.ts";

const ocean = "www/demo/ocean";
const line = "it begins on 3rd of March 2021";
const folder = mkdtempSync(join(tmpdir(), "gander-hub-"));

let hub: ModelHub;
let site: { url: string; close: () => Promise<void> };
let browser: Browser;
let page: Page;

before(async () => {
  const names = readdirSync(ocean, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => /\.(gguf|safetensors|json)$/.test(name));
  const read = (name: string) => new Uint8Array(readFileSync(join(ocean, name)));
  hub = await new ModelHub(Object.fromEntries(files.map((name) => [name, read(name)]))).start();
  site = await serveBuiltSite();
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(`${site.url}demo/icon.svg`);
});
after(async () => {
  await browser?.close();
  await site?.close();
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Visit {
  text: string;
  bytesFetched: number;
  pagesFromCache: number;
}

/** Loads the ocean and answers a line: in a browser, or in Node with a folder to keep pages in. */
async function visit([library, base, experts, line, folder]: string[]): Promise<Visit> {
  const { Gander: Package } = (await import(library as string)) as { Gander: typeof Gander };
  const model = await Package.load({
    base: base as string,
    experts: experts as string,
    device: "cpu",
    ...(folder ? { cache: { folder } } : {}),
  });
  const { text, stats } = await model.generate(line as string);
  await model.dispose();
  const { bytesFetched, pagesFromCache } = stats;
  return { text: text ?? "", bytesFetched, pagesFromCache };
}

function inChromium(): Promise<Visit> {
  return page.evaluate(visit, ["/dist/index.js", ...addresses()]);
}

function inNode(): Promise<Visit> {
  return visit([pathToFileURL(join(process.cwd(), "www/dist/index.js")).href, ...addresses(), folder]);
}

const addresses = () => [hub.address("base.gguf"), hub.address("catalog.json"), line];

for (const [name, visitor] of [
  ["Chromium", inChromium],
  ["Node", inNode],
] as const) {
  test(`${name}: pages come by range from the store, signed addresses and all`, async () => {
    hub.requests.length = 0;
    const first = await visitor();
    assert.match(first.text, /2021-03-03/);
    const pages = hub.requests.filter(({ name, status }) => name.startsWith("experts/") && status !== 302);
    assert.ok(pages.length > 0);
    assert.deepEqual(new Set(pages.map(({ status }) => status)), new Set([206]));
    const statuses = new Set(hub.requests.map(({ status }) => status));
    assert.deepEqual(
      statuses,
      new Set([200, 206, 302, 307]),
      "nothing was refused, and nobody asked for leave",
    );
    assert.deepEqual(
      hub.requests.flatMap(({ secrets }) => secrets),
      [],
    );
  });

  test(`${name}: what was kept is known again, though its addresses are new`, async () => {
    hub.requests.length = 0;
    const again = await visitor();
    assert.match(again.text, /2021-03-03/);
    assert.equal(again.bytesFetched, 0);
    assert.ok(again.pagesFromCache > 0);
    const bodies = hub.requests.filter(
      ({ status, range }) => status === 200 || (status === 206 && range !== "bytes=0-0"),
    );
    assert.deepEqual(bodies, [], "one byte for each file that may have changed");
  });
}

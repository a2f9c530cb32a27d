// What somebody sees whose site lacks a file or forbids one: an error by name that says which, and no worker left.

import assert from "node:assert/strict";
import { cpSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, BrowserContext } from "playwright-core";
import { launchChromium } from "../web/chromium.ts";
import { freshFolder, installed, ocean, serveFolder } from "./support.ts";

type Package = typeof import("../../www/src/index.ts");

let browser: Browser;
let folder: string;

before(async () => {
  folder = freshFolder("failures");
  cpSync(join(installed, "www/dist"), join(folder, "gander"), { recursive: true });
  symlinkSync(ocean, join(folder, "ocean"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>A page</title>");
  browser = await launchChromium();
});
after(() => browser?.close());

interface Case {
  policy?: string;
  prepare?: (context: BrowserContext) => Promise<unknown>;
  options?: object;
  /** Takes the base from another origin, which says nothing of CORS. */
  foreignBase?: boolean;
  code: string;
  message: RegExp;
}

const missing = (pattern: string) => (context: BrowserContext) =>
  context.route(pattern, (route) => route.fulfill({ status: 404, body: "not here" }));

const cases: Record<string, Case> = {
  "the worker is not there": {
    prepare: missing("**/worker.js"),
    code: "worker",
    message: /\/gander\/worker\.js: it could not be loaded; expected worker\.js of this release there/,
  },
  "the worker breaks off": {
    prepare: (context) =>
      context.route("**/worker.js", (route) =>
        route.fulfill({ contentType: "text/javascript", body: "throw new Error('too old')" }),
      ),
    code: "worker",
    message: /\/gander\/worker\.js: .*too old/,
  },
  "the WebAssembly file is not there": {
    prepare: missing("**/*.wasm"),
    code: "worker",
    message: /gander_relaxed_bg\.wasm: .*404.*pass wasmUrl/,
  },
  "a page is sent in place of the WebAssembly file": {
    prepare: (context) =>
      context.route("**/*.wasm", (route) =>
        route.fulfill({ contentType: "text/html", body: "<!doctype html>" }),
      ),
    code: "worker",
    message: /gander_relaxed_bg\.wasm: .*magic word.*pass wasmUrl/,
  },
  "the module for the caller's own thread is not there": {
    prepare: missing("**/worker.js"),
    options: { inline: true },
    code: "worker",
    message: /\/gander\/worker\.js: it did not start/,
  },
  "the policy forbids WebAssembly": {
    policy: "default-src 'self'",
    code: "worker",
    message: /gander_relaxed_bg\.wasm: .*'wasm-unsafe-eval'/,
  },
  "the policy forbids workers": {
    policy: "default-src 'self' 'wasm-unsafe-eval'; worker-src 'none'",
    code: "worker",
    message: /worker\.js: .*CSP worker-src/,
  },
  "the policy forbids to fetch": {
    policy: "default-src 'self' 'wasm-unsafe-eval'; connect-src 'none'",
    code: "worker",
    message: /gander_relaxed_bg\.wasm: .*CSP connect-src/,
  },
  "another origin keeps its files to itself": {
    foreignBase: true,
    code: "network",
    message: /base\.gguf: .*access-control-allow-origin/i,
  },
};

for (const [what, { policy, prepare, options = {}, foreignBase, code, message }] of Object.entries(cases)) {
  test(`it is said by name when ${what}`, async () => {
    const site = await serveFolder(folder, policy ? { "content-security-policy": policy } : {});
    const foreign = await serveFolder(ocean);
    const context = await browser.newContext();
    try {
      await prepare?.(context);
      const page = await context.newPage();
      await page.goto(`${site.url}index.html`);
      const base = foreignBase ? `${foreign.url}base.gguf` : "/ocean/base.gguf";
      const failure = await page.evaluate(
        async ({ module, options }) => {
          const { Gander } = (await import(module)) as Package;
          return Gander.load(options).then(
            () => ({ code: "loaded", message: "" }),
            ({ code, message }) => ({ code, message }),
          );
        },
        { module: `${site.url}gander/index.js`, options: { base, ...options } },
      );
      assert.equal(failure.code, code, failure.message);
      assert.match(failure.message, message);
      await Promise.all(page.workers().map((worker) => worker.waitForEvent("close", { timeout: 10_000 })));
    } finally {
      await context.close();
      await Promise.all([site.close(), foreign.close()]);
    }
  });
}

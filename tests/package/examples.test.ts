// The examples of docs/, run from the packed package as their readers would run them. Each gives the same text.

import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { workerThreads } from "../web/worker_threads.ts";
import {
  addOcean,
  answerOnPage,
  browserAndAnswer,
  frameworkCommand,
  freshExample,
  run,
  type Site,
  serveByProgram,
  serveFolder,
  upload,
} from "./support.ts";

const shared = browserAndAnswer();

/** Looks at a site and closes it, whatever it shows. */
async function answers(site: Site, path = "", then?: (page: Page) => Promise<void>): Promise<void> {
  try {
    await answerOnPage(shared.browser, site.url + path, shared.expected, then);
  } finally {
    await site.close();
  }
}

/** The engine's worker has helpers, unless there is but one processor. */
async function hasThreads(page: Page): Promise<void> {
  assert.ok(await page.evaluate(() => crossOriginIsolated));
  const processors = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.ok(workerThreads() >= Math.min(processors, 4), `${workerThreads()} workers`);
}

test("Node writes the answer, and ends when the model is disposed of", () => {
  assert.match(shared.expected, /2025-10-12/);
});

/** With these a page is cross-origin isolated: docs/getting-started.md. */
const isolated = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

describe("a plain page", () => {
  test("finds the package by an import map", async () => {
    await answers(await serveFolder(upload("browser")), "page.html");
  });

  test("may be cross-origin isolated, and has threads then", async () => {
    await answers(await serveFolder(upload("browser"), isolated), "page.html", hasThreads);
  });

  test("may import the package by its address, without an import map", async () => {
    const app = upload("browser");
    replaceIn(join(app, "main.js"), '"gander"', '"./gander/index.js"');
    await answers(await serveFolder(app), "index.html");
  });

  test("may have a strict Content-Security-Policy", async () => {
    const app = upload("browser");
    replaceIn(join(app, "main.js"), '"gander"', '"./gander/index.js"');
    await answers(
      await serveFolder(app, { "content-security-policy": documentedPolicies()[0] }),
      "index.html",
    );
  });

  for (const [kind, headers] of [
    ["plain", {}],
    ["cross-origin isolated", isolated],
    ["strict", { "content-security-policy": documentedPolicies()[1] }],
  ] as const) {
    test(`may take package and model from another origin (${kind})`, async () => {
      const cdn = await serveFolder(upload("browser"), { "access-control-allow-origin": "*" });
      try {
        const app = freshExample("browser");
        replaceIn(join(app, "main.js"), '"gander"', `"${cdn.url}gander/index.js"`);
        replaceIn(join(app, "main.js"), '"/ocean/', `"${cdn.url}ocean/`);
        const own = Object.entries(headers).map(([name, value]) => [
          name,
          value.replaceAll("https://cdn.example", cdn.url),
        ]);
        const then = kind === "cross-origin isolated" ? hasThreads : undefined;
        await answers(await serveFolder(app, Object.fromEntries(own)), "index.html", then);
      } finally {
        await cdn.close();
      }
    });
  }
});

describe("Vite", () => {
  const vite = frameworkCommand("vite/bin/vite.js");
  const local = ["--host", "127.0.0.1", "--port", "0"];

  test("serves it in development, with no configuration", async () => {
    const app = freshExample("browser");
    addOcean(join(app, "public"));
    await answers(await serveByProgram(app, [vite, ...local]));
  });

  test("builds it, with no configuration and no warning", async () => {
    const app = freshExample("browser");
    addOcean(join(app, "public"));
    assert.doesNotMatch(await run(app, [vite, "build"]), /warn|externalized/i);
    await answers(await serveFolder(join(app, "dist")), "index.html");
    await answers(await serveFolder(join(app, "dist"), isolated), "index.html", hasThreads);
  });

  test("serves it in development with threads, as documented", async () => {
    const app = freshExample("browser");
    addOcean(join(app, "public"));
    writeFileSync(join(app, "vite.config.js"), documentedViteHeaders());
    await answers(await serveByProgram(app, [vite, ...local]), "", hasThreads);
  });

  test("before version 8 serves it in development with `optimizeDeps`", async () => {
    const app = freshExample("browser");
    addOcean(join(app, "public"));
    writeFileSync(join(app, "vite.config.js"), 'export default { optimizeDeps: { exclude: ["gander"] } };\n');
    await answers(await serveByProgram(app, [frameworkCommand("vite-7/bin/vite.js"), ...local]));
  });
});

test("webpack builds it, with no configuration and no warning but for the module's size", async () => {
  const app = freshExample("browser");
  const command = ["--mode", "production", "--entry", "./main.js", "--no-performance"];
  const report = await run(app, [frameworkCommand("webpack-cli/bin/cli.js"), ...command]);
  assert.match(report, /compiled successfully/);
  addOcean(join(app, "dist"));
  copyFileSync(join(app, "index.html"), join(app, "dist/index.html"));
  await answers(await serveFolder(join(app, "dist")), "index.html");
  await answers(await serveFolder(join(app, "dist"), isolated), "index.html", hasThreads);
});

test("esbuild bundles it; the workers and the WebAssembly files are copied beside the bundle", async () => {
  const app = freshExample("browser");
  const dist = join(app, "dist");
  mkdirSync(dist);
  const { warnings } = await build({
    entryPoints: [join(app, "main.js")],
    outdir: dist,
    bundle: true,
    format: "esm",
  });
  assert.deepEqual(warnings, []);
  for (const name of ["", "_threads"]) {
    copyFileSync(join(app, `node_modules/gander/www/dist/worker${name}.js`), join(dist, `worker${name}.js`));
  }
  for (const name of ["", "_relaxed", "_threads"]) {
    const file = `gander${name}_bg.wasm`;
    copyFileSync(join(app, "node_modules/gander/www/dist", file), join(dist, file));
  }
  addOcean(dist);
  copyFileSync(join(app, "index.html"), join(dist, "index.html"));
  await answers(await serveFolder(dist), "index.html");
  await answers(await serveFolder(dist, isolated), "index.html", hasThreads);
});

test("Next builds and serves it, with no configuration and no warning", async () => {
  const app = freshExample("next");
  addOcean(join(app, "public"));
  const next = frameworkCommand("next/dist/bin/next");
  // Where CI is set, Next warns of a folder without a build cache: that is about the folder, which is new each time.
  mkdirSync(join(app, ".next/cache"), { recursive: true });
  assert.doesNotMatch(await run(app, [next, "build"]), /warn|⚠/i);
  await answers(await serveByProgram(app, [next, "start", "-H", "127.0.0.1", "-p", "0"]));
});

/** The configuration of docs/getting-started.md. */
function documentedViteHeaders(): string {
  const page = readFileSync("docs/getting-started.md", "utf8");
  const found = /^```js\n(\/\/ vite\.config\.js\n[^`]*Cross-Origin-Embedder-Policy[^`]*)```/m.exec(page);
  return found?.[1] ?? assert.fail("docs/getting-started.md shows no headers for Vite");
}

/** The Content-Security-Policies that docs/troubleshooting.md promises to be enough: all on one site; with a CDN. */
function documentedPolicies(): [string, string] {
  const page = readFileSync("docs/troubleshooting.md", "utf8");
  const found = Array.from(page.matchAll(/^```csp\n(.*?)\n```/gms), ([, policy]) =>
    policy?.replaceAll("\n", " "),
  );
  const [own, cdn] = found;
  assert.ok(own && cdn && found.length === 2);
  return [own, cdn];
}

function replaceIn(file: string, from: string, to: string): void {
  const text = readFileSync(file, "utf8");
  assert.ok(text.includes(from), `${file} has no ${from}`);
  writeFileSync(file, text.replaceAll(from, to));
}

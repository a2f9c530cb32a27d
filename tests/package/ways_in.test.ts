// The smaller examples of docs/: a page of thirty lines, React, a page without a network, an extension.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { chromium } from "playwright-core";
import {
  addOcean,
  answerInNode,
  answerOnPage,
  browserAndAnswer,
  frameworkCommand,
  freshExample,
  line,
  ocean,
  run,
  serveByProgram,
  serveFolder,
  upload,
} from "./support.ts";

const shared = browserAndAnswer();

test("a page of thirty lines answers", async () => {
  const app = upload("minimal");
  assert.ok(readFileSync(join(app, "index.html"), "utf8").trimEnd().split("\n").length <= 30);
  const site = await serveFolder(app);
  try {
    await answerOnPage(shared.browser, site.url, shared.expected);
  } finally {
    await site.close();
  }
});

describe("React", () => {
  const vite = frameworkCommand("vite/bin/vite.js");

  /** Whether the routing is drawn, with the titles of the catalogue. */
  const answerWithRouting = (url: string) =>
    answerOnPage(shared.browser, url, shared.expected, async (page) => {
      const cell = page.locator("gander-routing [role=gridcell]");
      await cell.waitFor({ state: "attached" });
      const label = (await cell.getAttribute("aria-label")) ?? "";
      const { experts } = JSON.parse(readFileSync(join(ocean, "catalog.json"), "utf8"));
      assert.ok(
        experts.some(({ title }: { title: string }) => label.includes(title)),
        label,
      );
    });

  test("in development, in strict mode, answers and shows the routing", async () => {
    const app = freshExample("react");
    addOcean(join(app, "public"));
    const site = await serveByProgram(app, [vite, "--host", "127.0.0.1", "--port", "0"]);
    try {
      await answerWithRouting(site.url);
    } finally {
      await site.close();
    }
  });

  test("built, without a warning, answers and shows the routing", async () => {
    const app = freshExample("react");
    addOcean(join(app, "public"));
    assert.doesNotMatch(await run(app, [vite, "build"]), /warn|externalized/i);
    const site = await serveFolder(join(app, "dist"));
    try {
      await answerWithRouting(site.url);
    } finally {
      await site.close();
    }
  });
});

/** The ocean's own example of what the line in the forms does not ask for. */
function lineForOtherExperts(): string {
  const { lines } = JSON.parse(readFileSync(join(ocean, "examples.json"), "utf8")) as {
    lines: { text: string; kinds: string[] }[];
  };
  const known = lines.find(({ text }) => text === line)?.kinds ?? [];
  const other = lines.find(({ kinds }) => kinds.every((kind) => !known.includes(kind)));
  return other?.text ?? assert.fail("examples.json has lines of one kind alone");
}

test("a page with a service worker answers with its server gone, also with experts that no line had asked for", async () => {
  const other = lineForOtherExperts();
  const otherAnswer = await answerInNode(other);
  const app = upload("offline");
  const site = await serveFolder(app);
  const context = await shared.browser.newContext();
  try {
    await answerOnPage(context, site.url, shared.expected, async (page) => {
      await page.waitForFunction(() => document.querySelector("#offline")?.textContent !== "");
    });
    await site.close();
    await answerOnPage(context, site.url, shared.expected, async (page) => {
      await page.fill("input", other);
      await page.click("button");
      await page.waitForFunction(
        (text) => document.querySelector("output")?.textContent === text,
        otherAnswer,
      );
    });
  } finally {
    await context.close();
    await site.close();
  }
});

test("an extension for Manifest V3 fits 1.25 MB and answers in its popup under its own content policy", async () => {
  const cdn = await serveFolder(ocean, { "access-control-allow-origin": "*" });
  const app = freshExample("extension");
  await run(app, ["build.mjs"]);
  // What a store gets: neither the packages nor what fetched them.
  for (const name of ["node_modules", "package.json", "build.mjs", "README.md"]) {
    rmSync(join(app, name), { recursive: true });
  }
  const sizes = readdirSync(app, { recursive: true, encoding: "utf8" }).map((name) =>
    statSync(join(app, name)),
  );
  const bytes = sizes.reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
  assert.ok(bytes < 1_250_000, `${bytes} bytes`);
  const model = readFileSync(join(app, "model.js"), "utf8");
  assert.ok(model.includes("https://cdn.example/ocean/"));
  writeFileSync(join(app, "model.js"), model.replace("https://cdn.example/ocean/", cdn.url));

  const profile = mkdtempSync(join(tmpdir(), "gander-extension-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    // The old headless mode knows no extensions, and asks for a flag of its own to load one from a folder.
    ignoreDefaultArgs: ["--disable-extensions"],
    args: [
      ...["--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run"],
      "--disable-features=DisableLoadExtensionCommandLineSwitch",
      `--disable-extensions-except=${app}`,
      `--load-extension=${app}`,
    ],
  });
  try {
    const popup = `chrome-extension://${extensionId(app)}/popup.html`;
    await answerOnPage(context, popup, shared.expected, async (page) => {
      await page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        document.head.append(script);
      });
      assert.equal(
        await page.title(),
        "Clean a line",
        "the content policy lets scripts in that came as text",
      );
    });
    await cdn.close();
    await answerOnPage(context, popup, shared.expected);
  } finally {
    await context.close();
    await cdn.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
});

/** Chromium names an unpacked extension after its folder: the first half of a SHA-256, in the letters from a to p. */
function extensionId(folder: string): string {
  const digits = createHash("sha256").update(folder).digest("hex").slice(0, 32);
  return digits.replaceAll(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 16)));
}

// Fresh folders with the installed package, servers and programs for them, and a browser to look at them.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launchChromium } from "../web/chromium.ts";

/** Made by scripts/test/package_tests.mjs: `installed/` has the package, a folder above has the frameworks. */
const folder = process.env.GANDER_PACKAGE_TEST ?? assert.fail("run this by npm test -- --only package");
const environment = {
  ...process.env,
  NEXT_TELEMETRY_DISABLED: "1",
  NO_COLOR: "1",
  // Where Node keeps a model's files: not what other runs left there.
  XDG_CACHE_HOME: join(folder, "cache"),
};

export const installed = join(folder, "installed/node_modules/gander");
export const ocean = join(process.cwd(), "www/demo/ocean");
export const line = "the invoice of 12-Oct-2025";

/** A copy of one of docs/examples with the package installed. */
export function freshExample(name: string): string {
  const app = freshFolder(name);
  cpSync(join(process.cwd(), "docs/examples", name), app, { recursive: true });
  return app;
}

/** An example without a build, as one would upload it: the package and a model lie beside it. */
export function upload(name: string): string {
  const app = freshExample(name);
  cpSync(join(installed, "www/dist"), join(app, "gander"), { recursive: true });
  addOcean(app);
  return app;
}

/** An empty folder but for the installed package. */
export function freshFolder(name: string): string {
  const app = mkdtempSync(join(folder, `${name}-`));
  mkdirSync(join(app, "node_modules"));
  cpSync(installed, join(app, "node_modules/gander"), { recursive: true });
  return app;
}

/** Puts the demo's base and experts where the examples expect them. */
export function addOcean(publicFolder: string): void {
  mkdirSync(publicFolder, { recursive: true });
  symlinkSync(ocean, join(publicFolder, "ocean"));
}

/** The JavaScript file of a framework's command. */
export function frameworkCommand(file: string): string {
  return join(folder, "../node_modules", file);
}

/** What the Node example answers; to the line that stands in the forms of the others, unless told another. */
export async function answerInNode(text = line): Promise<string> {
  const files = await serveFolder(ocean);
  try {
    const urls = [`${files.url}base.gguf`, `${files.url}catalog.json`];
    return (await run(freshExample("node"), ["main.mjs", ...urls, text])).trimEnd();
  } finally {
    await files.close();
  }
}

/** Runs a Node program in `app` to its end; returns what it printed. */
export async function run(app: string, parameters: string[]): Promise<string> {
  const options = { cwd: app, env: environment, encoding: "utf8" as const };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, parameters, options).catch((error) =>
    assert.fail(`${parameters.join(" ")}:\n${error.stdout}\n${error.stderr}`),
  );
  return stdout + stderr;
}

export interface Site {
  url: string;
  close: () => Promise<void>;
}

/** A Node program that serves: there once it prints its address. */
export function serveByProgram(app: string, parameters: string[]): Promise<Site> {
  const child = spawn(process.execPath, parameters, { cwd: app, env: environment, detached: true });
  return new Promise((resolve, reject) => {
    let output = "";
    const read = (chunk: Buffer) => {
      output += chunk;
      const url = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/.exec(output)?.[0];
      if (url) resolve({ url: `${url}/`, close: () => end(child) });
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", () => reject(new Error(`${parameters.join(" ")} ended:\n${output}`)));
  });
}

/** Ends the program and those that it started. */
function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.on("close", () => resolve());
    process.kill(-(child.pid ?? assert.fail("it never started")), "SIGTERM");
  });
}

/** A static server on a free loopback port, with no other headers than those given. */
export async function serveFolder(root: string, headers: Record<string, string> = {}): Promise<Site> {
  const script = join(process.cwd(), "scripts/serve/server.mjs");
  const { serve } = await import(pathToFileURL(script).href);
  return serve({ folder: root, port: 0, headers });
}

/** For all tests of a file: a browser, and what the line is answered with. */
export function browserAndAnswer(): { browser: Browser; expected: string } {
  const shared = {} as { browser: Browser; expected: string };
  before(async () => {
    shared.browser = await launchChromium();
    shared.expected = await answerInNode();
  });
  after(() => shared.browser?.close());
  return shared;
}

/** Opens an example, sends the line that stands in its form and waits for the answer. */
export async function answerOnPage(
  browser: Browser | BrowserContext,
  url: string,
  expected: string,
  then: (page: Page) => Promise<void> = async () => {},
): Promise<void> {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const problems: string[] = [];
  const log: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => log.push(message.text()));
  try {
    await page.goto(url);
    // An error of the package ends with its code.
    await page.locator("button:not([disabled]), output:text-matches('\\]$')").first().waitFor();
    if (await page.isEnabled("button")) await page.click("button");
    await page.waitForFunction(
      (text) => [text, "]"].some((end) => document.querySelector("output")?.textContent?.endsWith(end)),
      expected,
    );
    assert.equal(await page.textContent("output"), expected);
    await then(page);
  } catch (error) {
    assert.fail(`${url}: ${error}\non the console:\n${log.join("\n")}`);
  } finally {
    await page.close();
  }
  assert.deepEqual(problems, []);
}

// The installed package in Firefox, on a plain page from a static server: it writes what it writes in Chromium.

import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BrowserAgent, type BrowserName } from "../web/browser_agent.ts";
import { freshExample, installed, line, ocean, type Site, serveFolder } from "./support.ts";

let cdn: Site;
let app: string;

before(async () => {
  // Base and experts on a host of their own, which answers ranges.
  cdn = await serveFolder(ocean, { "access-control-allow-origin": "*" });
  app = freshExample("browser");
  cpSync(join(installed, "www/dist"), join(app, "gander"), { recursive: true });
  const main = join(app, "main.js");
  writeFileSync(main, readFileSync(main, "utf8").replaceAll('"/ocean/', `"${cdn.url}`));
});
after(() => cdn?.close());

/** In the browser: opens the example in a frame, sends the line that stands in its form, and waits for the answer. */
async function answerInFrame(page: string): Promise<string> {
  const frame = document.createElement("iframe");
  frame.src = page;
  document.body.append(frame);
  const until = async (found: () => unknown): Promise<void> => {
    while (!found()) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const find = <Found extends Element>(selector: string) =>
    frame.contentDocument?.querySelector<Found>(selector) ?? undefined;
  // An error of the package ends with its code.
  const failed = () => find("output")?.textContent?.endsWith("]");
  await until(() => find("button:not([disabled])") || failed());
  find<HTMLButtonElement>("button:not([disabled])")?.click();
  let text = "";
  let since = performance.now();
  await until(() => {
    const now = find("output")?.textContent ?? "";
    if (now !== text) since = performance.now();
    text = now;
    // Nothing tells that an answer is complete but that nothing more comes.
    return failed() || (text.length > 0 && performance.now() - since > 3000);
  });
  return text;
}

async function answerIn(name: BrowserName, page: string): Promise<string> {
  const agent = await new BrowserAgent(app).start(name);
  try {
    return await agent.run(answerInFrame, page);
  } finally {
    await agent.stop();
  }
}

test("a plain page in Firefox writes what it writes in Chromium", async () => {
  const inChromium = await answerIn("Chromium", "/page.html");
  assert.equal(inChromium, line.replace("12-Oct-2025", "2025-10-12"));
  assert.equal(await answerIn("Firefox", "/page.html"), inChromium);
});

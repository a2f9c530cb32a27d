// The demo on a loopback server, with the scripted engine, and Chromium to look at it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Scripts are used where they are: they find the repository by their own place. */
const script = (name: string) => import(pathToFileURL(join(process.cwd(), "scripts", name)).href);

export class DemoSite {
  readonly url: string;
  readonly #folder: string;
  readonly #close: () => Promise<void>;
  readonly #browser: Browser;

  private constructor(url: string, folder: string, close: () => Promise<void>, browser: Browser) {
    this.url = url;
    this.#folder = folder;
    this.#close = close;
    this.#browser = browser;
  }

  /** @param ocean the files below demo/ocean */
  static async start(ocean: Record<string, Uint8Array | string>): Promise<DemoSite> {
    const folder = mkdtempSync(join(tmpdir(), "gander-page-"));
    const { buildPageFixture } = await script("test/page_fixture.mjs");
    const { serve } = await script("serve/server.mjs");
    await buildPageFixture(folder, ocean);
    const server = await serve({ folder, port: 0, home: "/demo/" });
    const browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    });
    return new DemoSite(server.url, folder, server.close, browser);
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    await this.#close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * A page with storage of its own, and what goes wrong on it: errors that nobody caught, and breaches of its content
   * policy. Without service workers, unless asked for: a test's own answers to requests do not reach into them.
   */
  async newPage(options: BrowserContextOptions = {}): Promise<{ page: Page; problems: string[] }> {
    const context = await this.#browser.newContext({ serviceWorkers: "block", ...options });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (/content security policy/i.test(message.text())) problems.push(message.text());
    });
    return { page, problems };
  }
}

export async function ready(page: Page): Promise<void> {
  await page.waitForSelector("#run:not([disabled])");
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.fill("#line", text);
  await page.press("#line", "Enter");
}

export async function answered(page: Page): Promise<void> {
  await page.waitForFunction(() => /tokens in/.test(document.getElementById("progress")?.textContent ?? ""));
}

// The demo on a loopback server, with the scripted engine, and Chromium to look at it.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { launchChromium } from "./chromium.ts";

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
    const browser = await launchChromium();
    return new DemoSite(server.url, folder, server.close, browser);
  }

  /** Nobody answers at its address any more. */
  closeServer(): Promise<void> {
    return this.#close();
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

/**
 * A site for all tests of a file, and a page for each, which {@link DemoTests.open} opens. A test on whose page something
 * went wrong unseen fails.
 */
export class DemoTests {
  #site: DemoSite | undefined;
  #opened: { page: Page; problems: string[] } | undefined;

  constructor(ocean: Record<string, Uint8Array | string>) {
    before(async () => {
      this.#site = await DemoSite.start(ocean);
    });
    after(() => this.#site?.stop());
    afterEach(async () => {
      const { page, problems } = this.#opened ?? {};
      this.#opened = undefined;
      await page?.context().close();
      assert.deepEqual(problems ?? [], []);
    });
  }

  get site(): DemoSite {
    assert.ok(this.#site);
    return this.#site;
  }

  get page(): Page {
    assert.ok(this.#opened);
    return this.#opened.page;
  }

  /** @param place what follows the page's address: `?device=cpu#column` */
  async open(place = "", options: BrowserContextOptions = {}): Promise<void> {
    await this.visit(place, options);
    await ready(this.page);
  }

  /** Without waiting until a line can be asked, and after `prepare`. */
  async visit(
    place = "",
    options: BrowserContextOptions = {},
    prepare: (page: Page) => Promise<unknown> = async () => {},
  ): Promise<void> {
    this.#opened = await this.site.newPage(options);
    await prepare(this.page);
    await this.page.goto(`${this.site.url}demo/${place}`);
  }
}

/** Ready for a line, whichever view is shown. */
export async function ready(page: Page): Promise<void> {
  await page.waitForSelector("#run:not([disabled])", { state: "attached" });
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.fill("#line", text);
  await page.press("#line", "Enter");
}

export async function answered(page: Page): Promise<void> {
  await page.waitForFunction(() => /tokens in/.test(document.getElementById("progress")?.textContent ?? ""));
}

/** Asks, and judges the answer. */
export async function judge(page: Page, line: string, button: "Helpful" | "Not helpful"): Promise<void> {
  await ask(page, line);
  await answered(page);
  await page.getByRole("button", { name: button, exact: true }).click();
  await page.waitForSelector("#judge a");
}

/** Waits until the column is `Done`, or `Stopped`. */
export async function columnState(page: Page, state: "Done" | "Stopped", timeout = 30_000): Promise<void> {
  await page.waitForFunction(
    (state) => document.querySelector("#batch [role=status]")?.textContent?.startsWith(state),
    state,
    { timeout },
  );
}

/** Presses a button and reads the file that it gives. */
export async function download(page: Page, button: string): Promise<{ name: string; text: string }> {
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  const file = await coming;
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), "utf8") };
}

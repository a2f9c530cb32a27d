// A browser by the W3C's WebDriver protocol: as much of it as a test needs to do what a person does.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";

/** The name under which the protocol hands elements out. */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

/** Longer than anything takes on a busy machine. */
const PATIENCE_MILLISECONDS = 60_000;

export class WebDriver {
  readonly #driver: ChildProcess;
  readonly #session: string;

  private constructor(driver: ChildProcess, session: string) {
    this.#driver = driver;
    this.#session = session;
  }

  /** Starts geckodriver, and Firefox with it, without a window. */
  static async firefox(geckodriver: string, preferences: Record<string, unknown> = {}): Promise<WebDriver> {
    // A group of its own: what it started must end with it, also where it does not end by itself.
    const driver = spawn(geckodriver, ["--port", "0", "--host", "127.0.0.1"], { detached: true });
    const kill = () => {
      if (driver.pid !== undefined && driver.exitCode === null) process.kill(-driver.pid, "SIGKILL");
    };
    process.once("exit", kill);
    driver.once("exit", () => process.off("exit", kill));
    const url = await new Promise<string>((resolve, reject) => {
      let output = "";
      const read = (chunk: Buffer) => {
        output += chunk;
        const port = /Listening on [^\s:]+:(\d+)/.exec(output)?.[1];
        if (port) resolve(`http://127.0.0.1:${port}`);
      };
      driver.stdout.on("data", read);
      driver.stderr.on("data", read);
      driver.once("error", reject);
      driver.once("exit", () => reject(new Error(`geckodriver ended:\n${output}`)));
    });
    const options = { binary: "/usr/bin/firefox-esr", args: ["-headless"], prefs: preferences };
    const alwaysMatch = { browserName: "firefox", "moz:firefoxOptions": options };
    try {
      const asked = { capabilities: { alwaysMatch } };
      const { sessionId } = await call<{ sessionId: string }>(`${url}/session`, asked);
      return new WebDriver(driver, `${url}/session/${sessionId}`);
    } catch (error) {
      kill();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#driver.once("exit", resolve));
    await call(this.#session, undefined, "DELETE");
    this.#driver.kill();
    await ended;
  }

  async open(url: string): Promise<void> {
    await call(`${this.#session}/url`, { url });
  }

  /** Runs a function in the page, whatever the page's content policy; it must be whole in itself. */
  run<Parameters extends unknown[], Value>(
    work: (...parameters: Parameters) => Value | Promise<Value>,
    ...parameters: Parameters
  ): Promise<Value> {
    const script = `return (${work})(...arguments);`;
    return call<Value>(`${this.#session}/execute/sync`, { script, args: parameters });
  }

  /** Until the function gives something true, which is returned. */
  async until<Parameters extends unknown[], Value>(
    work: (...parameters: Parameters) => Value,
    ...parameters: Parameters
  ): Promise<Value> {
    const end = Date.now() + PATIENCE_MILLISECONDS;
    for (;;) {
      const value = await this.run(work, ...parameters);
      if (value) return value as Value;
      assert.ok(Date.now() < end, `never true: ${work}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** @param place a CSS selector, or an XPath that begins with `//` */
  async click(place: string): Promise<void> {
    await call(`${await this.#element(place)}/click`, {});
  }

  /** Types into a field in place of what is there. */
  async type(place: string, text: string): Promise<void> {
    const element = await this.#element(place);
    await call(`${element}/clear`, {});
    await call(`${element}/value`, { text });
  }

  async text(place: string): Promise<string> {
    return call<string>(`${await this.#element(place)}/text`);
  }

  async #element(place: string): Promise<string> {
    const using = place.startsWith("//") ? "xpath" : "css selector";
    const found = await call<Record<string, string>>(`${this.#session}/element`, { using, value: place });
    return `${this.#session}/element/${found[ELEMENT]}`;
  }
}

async function call<Value>(url: string, body?: object, method = body ? "POST" : "GET"): Promise<Value> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  const { value } = (await response.json()) as { value: Value & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`${method} ${url}: ${value.error}: ${value.message}`);
  return value;
}

// A browser that runs what a test tells it to, without a driver: its page asks this server what to do next, and posts what
// came of it. So the same tests run in every browser that opens a URL.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";

export type BrowserName = "Chromium" | "Firefox";

const mediaTypes: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

const page = `<!doctype html><title>agent</title><script type="module">
for (;;) {
  const response = await fetch("/agent/next");
  const { source, parameter } = await response.json();
  let result;
  try {
    result = { value: await (0, eval)("(" + source + ")")(parameter) };
  } catch (error) {
    result = { error: String(error) + (error.stack ?? "") };
  }
  await fetch("/agent/result", { method: "POST", body: JSON.stringify(result) });
}
</script>`;

interface Task {
  message: string;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

export class BrowserAgent {
  readonly #folder: string;
  readonly #profile = mkdtempSync(join(tmpdir(), "gander-agent-"));
  readonly #server = createServer((request, response) => this.#answer(request, response));
  #browser: ChildProcess | undefined;
  /** The page's wait for a task. */
  #idle: ServerResponse | undefined;
  #waiting: Task[] = [];
  #running: Task | undefined;

  /** @param folder what the page may import from */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(name: BrowserName): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/agent/page`;
    const [program, parameters] = commandOf(name, this.#profile, url);
    // A group of its own: browsers are many processes, and all of them have to end.
    this.#browser = spawn(program, parameters, { stdio: "ignore", detached: true });
    // Also where the test is ended from outside.
    process.once("exit", this.#kill);
    process.once("SIGTERM", () => process.exit(1));
    return this;
  }

  /** Runs a function in the page; it must be whole in itself. */
  run<Parameter, Value>(
    call: (parameter: Parameter) => Value | Promise<Value>,
    parameter: Parameter,
  ): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      const message = JSON.stringify({ source: String(call), parameter });
      this.#waiting.push({ message, resolve: resolve as (value: unknown) => void, reject });
      this.#next();
    });
  }

  async stop(): Promise<void> {
    process.off("exit", this.#kill);
    const ended = new Promise((resolve) => this.#browser?.once("exit", resolve));
    if (this.#kill()) await ended;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  readonly #kill = (): boolean => {
    const pid = this.#browser?.pid;
    if (pid === undefined || this.#browser?.exitCode !== null) return false;
    return process.kill(-pid, "SIGKILL");
  };

  #next(): void {
    if (!this.#idle || this.#running) return;
    this.#running = this.#waiting.shift();
    if (!this.#running) return;
    this.#idle.end(this.#running.message);
    this.#idle = undefined;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    switch (path) {
      case "/agent/page":
        response.writeHead(200, { "content-type": "text/html" }).end(page);
        break;
      case "/agent/next":
        this.#idle = response;
        this.#next();
        break;
      case "/agent/result": {
        let text = "";
        for await (const chunk of request) text += chunk;
        response.end();
        const { value, error } = JSON.parse(text);
        const task = this.#running;
        this.#running = undefined;
        if (error === undefined) task?.resolve(value);
        else task?.reject(new Error(error));
        break;
      }
      default:
        this.#sendFile(path, response);
    }
  }

  #sendFile(path: string, response: ServerResponse): void {
    try {
      const file = readFileSync(join(this.#folder, normalize(path)));
      response.writeHead(200, { "content-type": mediaTypes[extname(path)] ?? "application/octet-stream" });
      response.end(file);
    } catch {
      response.writeHead(404).end();
    }
  }
}

function commandOf(name: BrowserName, profile: string, url: string): [string, string[]] {
  if (name === "Chromium") {
    const flags = ["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-gpu"];
    return ["/usr/bin/chromium", [...flags, `--user-data-dir=${profile}`, url]];
  }
  writeFileSync(
    join(profile, "user.js"),
    // No pages of its own, and no background errands.
    [
      `user_pref("datareporting.policy.dataSubmissionEnabled", false);`,
      `user_pref("browser.shell.checkDefaultBrowser", false);`,
      `user_pref("app.update.enabled", false);`,
      `user_pref("browser.safebrowsing.update.enabled", false);`,
      `user_pref("network.captive-portal-service.enabled", false);`,
      `user_pref("network.connectivity-service.enabled", false);`,
    ].join("\n"),
  );
  return ["/usr/bin/firefox-esr", ["--headless", "--no-remote", "--profile", profile, url]];
}

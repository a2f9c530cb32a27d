// What loading takes at most, WebAssembly's memory and what JavaScript holds together, beside the file: a flan-t5-small
// of random weights, in Node and in Chromium, over the network, from the cache and from a Blob.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Gander } from "gander";
import type { Browser, Page } from "playwright-core";
import { launchChromium } from "../chromium.ts";
import { randomFlanT5Small } from "../random_base.ts";

/** Of the file's size. */
const most = 1.3;

const folder = mkdtempSync(join(tmpdir(), "gander-load-memory-"));
const file = join(folder, "base.gguf");
let size: number;
let server: { url: string; close: () => Promise<void> };

before(async () => {
  const base = randomFlanT5Small();
  size = base.length;
  writeFileSync(file, base);
  cpSync("www/dist", join(folder, "dist"), { recursive: true });
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>memory</title>");
  const { serve } = await import(pathToFileURL(join(process.cwd(), "scripts/serve/server.mjs")).href);
  server = await serve({ folder, port: 0 });
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

function check(title: string, { wasm, javascript }: { wasm: number; javascript: number }): void {
  const shares = [wasm, javascript, wasm + javascript].map((bytes) => (bytes / size).toFixed(2));
  console.log(
    `${title}: WebAssembly ${shares[0]}, JavaScript ${shares[1]}, together ${shares[2]} of the file`,
  );
  assert.ok(wasm > size, "the model itself is counted");
  assert.ok(wasm + javascript <= most * size, shares.join(" + "));
}

/** In a Node of its own: loads, and tells the most that was held whenever something came in. */
const program = `
  import { openAsBlob } from "node:fs";
  const [library, url, kind, folder] = process.argv.slice(1);
  // Node's fetch has a small one too.
  const memories = [];
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (source, imports) => {
    const made = await instantiate(source, imports);
    memories.push((made.instance ?? made).exports.memory);
    return made;
  };
  const { Gander } = await import(library);
  // The engine by itself is no part of the file.
  await Gander.load({ base: new ArrayBuffer(8), cache: false }).catch(() => {});
  const held = () => {
    // What the first finds is freed in the background, and by the second at the latest.
    gc();
    gc();
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    return arrayBuffers + heapUsed;
  };
  const before = held();
  let javascript = 0;
  const look = () => {
    javascript = Math.max(javascript, held() - before);
  };
  const base = kind === "Blob" ? await openAsBlob(url) : url;
  const model = await Gander.load({ base, cache: kind === "network" ? false : { folder }, onProgress: look });
  look();
  const { text } = await model.generate("a line", { maxNewTokens: 2 });
  const wasm = Math.max(...memories.map((memory) => memory?.buffer.byteLength ?? 0));
  console.log(JSON.stringify({ wasm, javascript, isAnswered: text !== null }));
  await model.dispose();
`;

describe("in Node", () => {
  for (const [title, kind] of [
    ["over the network", "network"],
    ["over the network, into the cache", "disk"],
    ["from the cache", "disk"],
    ["from a Blob", "Blob"],
  ] as const) {
    test(title, async () => {
      const library = pathToFileURL(join(folder, "dist/index.js")).href;
      const base = kind === "Blob" ? file : `${server.url}base.gguf`;
      const parameters = ["--expose-gc", "--input-type=module", "-e", program, library, base, kind];
      const { stdout } = await promisify(execFile)(process.execPath, [...parameters, join(folder, "cache")]);
      const found = JSON.parse(stdout);
      assert.ok(found.isAnswered);
      check(`Node, ${title}`, found);
    });
  }
});

/** Sends the file part by part, each when it is let through. */
class Gate {
  readonly #server = createServer(async (_, response) => {
    response.writeHead(200, {
      "content-length": size,
      "access-control-allow-origin": "*",
      etag: '"1"',
    });
    for await (const part of createReadStream(file, { highWaterMark: 2 ** 22 })) {
      await new Promise<void>((resolve) => {
        this.#opened = resolve;
        this.#arrived?.();
      });
      response.write(part);
    }
    this.#isDone = true;
    response.end();
    this.#arrived?.();
  });
  #opened: (() => void) | undefined;
  #arrived: (() => void) | undefined;
  #isDone = false;

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/base.gguf`;
  }

  /** Lets a part through and waits until the next one stands there. False at the end. */
  async letThrough(): Promise<boolean> {
    if (this.#isDone) return false;
    const next = new Promise<void>((resolve) => {
      this.#arrived = resolve;
    });
    this.#opened?.();
    await next;
    return true;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("in Chromium", () => {
  let browser: Browser;
  let page: Page;

  before(async () => {
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(server.url);
  });
  after(() => browser?.close());

  /** In the page's own thread, which the protocol can look at; in a worker it is the same code. */
  async function begin(base: string, cache: boolean): Promise<void> {
    await page.evaluate(
      async ({ base, cache }) => {
        let memory: WebAssembly.Memory | undefined;
        const { instantiateStreaming } = WebAssembly;
        WebAssembly.instantiateStreaming = async (source, imports) => {
          const made = await instantiateStreaming(source, imports);
          memory = made.instance.exports.memory as WebAssembly.Memory;
          return made;
        };
        const address = "/dist/index.js";
        const library = (await import(address)) as { Gander: typeof Gander };
        const options = { base, inline: true, device: "cpu" as const };
        const loading = library.Gander.load(cache ? options : { ...options, cache: false });
        // Heard of when it is awaited.
        loading.catch(() => {});
        Object.assign(globalThis, { loading, wasmBytes: () => memory?.buffer.byteLength ?? 0 });
      },
      { base, cache },
    );
  }

  for (const cache of [false, true]) {
    test(cache ? "over the network, into the cache" : "over the network", async () => {
      const gate = new Gate();
      const url = await gate.start();
      const protocol = await page.context().newCDPSession(page);
      const held = async () => {
        // As in Node: what the first finds is freed in the background.
        await protocol.send("HeapProfiler.collectGarbage");
        await protocol.send("HeapProfiler.collectGarbage");
        const usage = (await protocol.send("Runtime.getHeapUsage")) as { usedSize: number };
        // Of buffers; the protocol's declarations do not know it yet.
        const { backingStorageSize } = usage as { backingStorageSize?: number };
        assert.ok(backingStorageSize !== undefined);
        return usage.usedSize + backingStorageSize;
      };
      try {
        const before = await held();
        await begin(url, cache);
        let javascript = 0;
        do javascript = Math.max(javascript, (await held()) - before);
        while (await gate.letThrough());
        const name = await page.evaluate<string>("globalThis.loading.then((model) => model.base.name)");
        assert.equal(name, "base.gguf");
        const wasm = await page.evaluate<number>("globalThis.wasmBytes()");
        check(`Chromium, over the network${cache ? ", into the cache" : ""}`, { wasm, javascript });
      } finally {
        await gate.stop();
        await page.reload();
      }
    });
  }
});

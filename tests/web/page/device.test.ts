// What becomes of a model whose GPU goes away, is too small, or computes wrongly: in Chromium, on the page's own thread, where
// a test can reach the GPU that the package uses.

// biome-ignore-all lint/suspicious/noExplicitAny: the browser's WebGPU classes are patched, and their types are no dependency

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { DeviceName, Gander, GanderError } from "gander";
import type { Browser, Page } from "playwright-core";
import { launchChromium } from "../chromium.ts";

const golden = "tests/goldens/mt5_shape";
const { input_ids: inputIds, runs } = JSON.parse(readFileSync(`${golden}/expected.json`, "utf8"));

let folder: string;
let server: { url: string; close: () => Promise<void> };
let browser: Browser;
let page: Page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "gander-device-"));
  cpSync("www/dist", join(folder, "dist"), { recursive: true });
  cpSync(`${golden}/base`, join(folder, "base"), { recursive: true });
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>device</title>");
  const { serve } = await import(pathToFileURL(join(process.cwd(), "scripts/serve/server.mjs")).href);
  server = await serve({ folder, port: 0 });
  browser = await launchChromium("--enable-unsafe-webgpu");
});
after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  page = await browser.newPage();
  await page.goto(server.url);
});

/** Loads the model; `change` is put between the page and WebGPU before. */
function load(device: DeviceName, change: () => void = () => {}) {
  return page.evaluate(
    async ([device, change]) => {
      new Function(change)();
      const library = "/dist/index.js";
      const gander = (await import(library)) as { Gander: typeof Gander };
      try {
        const model = await gander.Gander.load({ base: "base/", device, inline: true });
        Object.assign(globalThis, { model });
        return { ...model.device, code: "none" };
      } catch (error) {
        return { name: "none", reason: (error as Error).message, code: (error as GanderError).code };
      }
    },
    [device, `(${change})()`] as const,
  );
}

function generate() {
  return page.evaluate(async (ids) => {
    const { model } = globalThis as unknown as { model: Gander };
    try {
      const { outputIds } = await model.generate(ids, { maxNewTokens: 60 });
      return { outputIds, code: "none", device: model.device.name };
    } catch (error) {
      return { outputIds: [], code: (error as GanderError).code, device: model.device.name };
    }
  }, inputIds);
}

/** Whatever the length asked for, an answer begins as the reference's. */
function assertRight(outputIds: number[]): void {
  const { output_ids: expected } = runs[0];
  assert.deepEqual(outputIds.slice(0, expected.length), expected);
}

/** Hands the page the devices that are opened. The text of these functions is run there. */
function keepDevices(): void {
  const prototype = (globalThis as any).GPUAdapter.prototype;
  const requestDevice = prototype.requestDevice;
  prototype.requestDevice = async function (...options: unknown[]) {
    const device = await requestDevice.apply(this, options);
    Object.assign(globalThis, { device });
    return device;
  };
}

test("a GPU that goes away ends the answer by name, and the next one is right again", async () => {
  assert.equal((await load("webgpu", keepDevices)).name, "webgpu");
  assertRight((await generate()).outputIds);
  const running = generate();
  await page.evaluate(() => (globalThis as any).device.destroy());
  assert.equal((await running).code, "device-lost");
  const next = await generate();
  assertRight(next.outputIds);
  assert.equal(next.device, "webgpu");
});

test("where no other GPU can be had, the CPU takes over", async () => {
  await load("webgpu", keepDevices);
  await page.evaluate(() => {
    (globalThis as any).GPU.prototype.requestAdapter = async () => null;
    (globalThis as any).device.destroy();
  });
  const lost = await generate();
  assert.deepEqual([lost.code, lost.device], ["device-lost", "cpu"]);
  assertRight((await generate()).outputIds);
});

test("no adapter: webgpu is refused by name, auto takes the CPU and says why", async () => {
  const none = () => {
    (globalThis as any).GPU.prototype.requestAdapter = async () => null;
  };
  assert.equal((await load("webgpu", none)).code, "no-gpu");
  const auto = await load("auto", none);
  assert.equal(auto.name, "cpu");
  assert.match(auto.reason, /the browser offers none.*no-gpu/);
  assertRight((await generate()).outputIds);
});

test("a page without WebGPU: the same", async () => {
  const without = () => {
    delete (globalThis as any).Navigator.prototype.gpu;
  };
  assert.equal((await load("webgpu", without)).code, "no-gpu");
  assert.equal((await load("auto", without)).name, "cpu");
});

test("an adapter that lacks a limit is refused by the limit's name", async () => {
  const small = () => {
    const prototype = (globalThis as any).GPUAdapter.prototype;
    const limits = Object.getOwnPropertyDescriptor(prototype, "limits")?.get;
    Object.defineProperty(prototype, "limits", {
      get() {
        return new Proxy(limits?.call(this), {
          get: (target, name) => (name === "maxStorageBuffersPerShaderStage" ? 4 : target[name]),
        });
      },
    });
  };
  const found = await load("webgpu", small);
  assert.equal(found.code, "device-limit");
  assert.match(found.reason, /8 is needed, the adapter has 4/);
});

test("a GPU that computes wrongly is found out before the first token", async () => {
  // Its driver drops the last workgroups of everything.
  const wrong = () => {
    const prototype = (globalThis as any).GPUComputePassEncoder.prototype;
    const dispatch = prototype.dispatchWorkgroups;
    prototype.dispatchWorkgroups = function (x: number, y: number, z: number) {
      return dispatch.call(this, Math.max(1, x - 1), y, z);
    };
  };
  assert.equal((await load("webgpu", wrong)).code, "device-wrong");
});

test("a shader that the driver refuses is reported with the driver's message", async () => {
  const refusing = () => {
    const prototype = (globalThis as any).GPUDevice.prototype;
    const create = prototype.createShaderModule;
    prototype.createShaderModule = function (descriptor: { code: string }) {
      return create.call(this, { ...descriptor, code: `${descriptor.code}\nfn broken() -> nonsense {}` });
    };
  };
  const found = await load("webgpu", refusing);
  assert.equal(found.code, "device-failed");
  assert.match(found.reason, /nonsense/);
});

test("a GPU that is full is reported as out of memory", async () => {
  const full = () => {
    const { GPUDevice, GPUBufferUsage, GPUUncapturedErrorEvent, GPUOutOfMemoryError } = globalThis as any;
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (descriptor: { size: number; usage: number }) {
      if (descriptor.size > 4096 && descriptor.usage & GPUBufferUsage.STORAGE) {
        const error = new GPUOutOfMemoryError("there is no more");
        this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
      }
      return create.call(this, descriptor);
    };
  };
  assert.equal((await load("webgpu", full)).code, "out-of-memory");
});

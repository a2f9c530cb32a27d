// Starts the WebAssembly module, in a browser or in Node.

import init, { Engine } from "#engine";
import type { Engine as EngineContract, EngineModule, Step } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { DeviceName, LoadedDevice } from "./types.ts";

/** Fetches and compiles the module. Later calls get the one that is there. */
export async function startEngineModule(wasmUrl: string | undefined): Promise<EngineModule> {
  // Bundlers find the file by exactly this form: a literal name and import.meta.url in one call.
  const url = wasmUrl === undefined ? new URL("gander_bg.wasm", import.meta.url) : new URL(wasmUrl);
  try {
    await init({ module_or_path: url.protocol === "file:" ? await readLocalFile(url) : url });
  } catch (error) {
    throw new GanderError(
      "worker",
      url.href,
      `the WebAssembly module did not start (${error})`,
      "gander_bg.wasm of the same release; pass wasmUrl if your bundler puts it elsewhere",
      { cause: error },
    );
  }
  return { createEngine: () => new WasmEngine(), gatesOf: Engine.gatesOf };
}

/** The generated class, but for its two ways to step: a CPU answers at once, and what traps there is thrown here. */
class WasmEngine extends Engine implements EngineContract {
  #onCpu = true;

  override async openDevice(choice: DeviceName): Promise<LoadedDevice> {
    const device: LoadedDevice = await super.openDevice(choice);
    this.#onCpu = device.name === "cpu";
    return device;
  }

  override async step(): Promise<Step> {
    return this.#onCpu ? super.step() : super.nextStep();
  }
}

/** Node's fetch knows no file: URLs. The name is a variable so that bundlers for browsers do not look for the module. */
async function readLocalFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const fileSystem = "node:fs/promises";
  const { readFile } = (await import(/* @vite-ignore */ fileSystem)) as typeof import("node:fs/promises");
  return new Uint8Array(await readFile(url));
}

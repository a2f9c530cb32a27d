// Starts the WebAssembly module, in a browser or in Node.

import init, { Engine } from "#engine";
import type { EngineModule } from "./engine.ts";
import { GanderError } from "./errors.ts";

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
  return { createEngine: () => new Engine(), gatesOf: Engine.gatesOf };
}

/** Node's fetch knows no file: URLs. The name is a variable so that bundlers for browsers do not look for the module. */
async function readLocalFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const fileSystem = "node:fs/promises";
  const { readFile } = (await import(/* @vite-ignore */ fileSystem)) as typeof import("node:fs/promises");
  return new Uint8Array(await readFile(url));
}

// Starts the WebAssembly module, in a browser or in Node.

import init, { Engine } from "#engine";
import type { CatalogFiles, Engine as EngineContract, EngineModule, ScoreStep, Step } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { DeviceName, Expert } from "./types.ts";

/**
 * Fetches and compiles the module. Later calls get the one that is there.
 * @param memory for a build whose memory is shared
 */
export async function startEngineModule(wasmUrl: string, memory?: WebAssembly.Memory): Promise<EngineModule> {
  const url = new URL(wasmUrl);
  try {
    const source = url.protocol === "file:" ? await readLocalFile(url) : url;
    await init(memory ? { module_or_path: source, memory } : { module_or_path: source });
  } catch (error) {
    throw new GanderError(
      "worker",
      url.href,
      `the WebAssembly module did not start (${error})`,
      "that file of this release there (else pass wasmUrl), and a policy of the page that lets it run: CSP connect-src, " +
        "and script-src 'wasm-unsafe-eval'",
      { cause: error },
    );
  }
  Engine.onPanic(failAll);
  return { createEngine: () => new WasmEngine(), filesOf: Engine.filesOf };
}

/** The generated class, but for what happens where it waits: a bug that ends it there ends the wait too. */
export class WasmEngine extends Engine implements EngineContract {
  /** Whether a CPU computes, once asked: telling takes as long as a small layer. */
  #isCpu: boolean | undefined;

  override openDevice(choice: DeviceName): Promise<void> {
    return unlessPanicked(super.openDevice(choice));
  }

  override reopen(): Promise<void> {
    this.#isCpu = undefined;
    return unlessPanicked(super.reopen());
  }

  override finishBase(name: string): Promise<void> {
    this.#isCpu = undefined;
    return unlessPanicked(super.finishBase(name));
  }

  override addCatalogs(catalogs: CatalogFiles[]): Promise<Expert[][]> {
    return unlessPanicked(super.addCatalogs(catalogs));
  }

  /** A CPU answers at once, and what traps there is thrown here. */
  override async step(): Promise<Step> {
    this.#isCpu ??= this.deviceInfo().name === "cpu";
    return this.#isCpu ? super.step() : unlessPanicked(super.nextStep());
  }

  override nextScore(): Promise<ScoreStep> {
    return unlessPanicked(super.nextScore());
  }
}

/** Those that wait for the engine. */
const waiting = new Set<(reason: unknown) => void>();

/** A panic in Rust leaves a promise of Rust's unsettled for ever. */
function unlessPanicked<T>(promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    waiting.add(reject);
    promise.then(resolve, reject).finally(() => waiting.delete(reject));
  });
}

function failAll(message: string): void {
  for (const reject of waiting) reject(new WebAssembly.RuntimeError(message));
  waiting.clear();
}

/** Node's fetch knows no file: URLs. An import of Node's module, in whatever form, makes bundlers for browsers complain. */
async function readLocalFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const { readFile } = process.getBuiltinModule("node:fs/promises");
  return new Uint8Array(await readFile(url));
}

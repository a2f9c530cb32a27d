// Starts the WebAssembly module that has threads, and its helpers.

import { ownModule, useHelpers } from "#engine-threads";
import type { EngineModule } from "./engine.ts";
import { startHelpers, toPlainReason } from "./helpers.ts";
import { sharedMemory } from "./shared_memory.ts";
import type { LoadedDevice } from "./types.ts";
import { startEngineModule, WasmEngine } from "./wasm_engine.ts";

/** @param threads the engine's own among them. Where helpers cannot be had it is the only one, and the device says why. */
export async function startThreadedModule(wasmUrl: string, threads: number): Promise<EngineModule> {
  const memory = sharedMemory();
  const engineModule = await startEngineModule(wasmUrl, memory);
  const problem = await helpersProblem(threads - 1, memory);
  if (problem === undefined) return engineModule;

  class EngineWithoutHelpers extends WasmEngine {
    override deviceInfo(): LoadedDevice {
      const info = super.deviceInfo();
      return { ...info, reason: `${info.reason}; on one thread: ${problem}` };
    }
  }
  return { ...engineModule, createEngine: () => new EngineWithoutHelpers() };
}

async function helpersProblem(count: number, memory: WebAssembly.Memory): Promise<string | undefined> {
  try {
    await startHelpers(count, { module: ownModule(), memory });
    useHelpers(count);
    return undefined;
  } catch (error) {
    return toPlainReason(error);
  }
}

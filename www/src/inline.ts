// The engine in the caller's own thread: `inline: true`, and wherever there are no workers.

import { EngineHost } from "./engine_host.ts";
import type { Host } from "./host.ts";
import { startEngineModule } from "./wasm_engine.ts";

export function createInlineHost(): Host {
  return new EngineHost(startEngineModule);
}

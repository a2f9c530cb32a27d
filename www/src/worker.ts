// The worker: owns the engine, so that the page stays responsive while it computes. The same file serves `inline: true`,
// and wherever there are no workers: then it is imported, and computes in the thread of its importer.

import { EngineHost } from "./engine_host.ts";
import type { Host } from "./host.ts";
import { type Reply, type Request, WORKER_NAME } from "./protocol.ts";
import { startEngineModule } from "./wasm_engine.ts";
import { type Port, serveHost } from "./worker_port.ts";

export function createInlineHost(): Host {
  return new EngineHost((wasmUrl) => startEngineModule(wasmUrl));
}

// A page may have any name. A worker has this one only if this package started it.
if (globalThis.document === undefined && (globalThis as { name?: unknown }).name === WORKER_NAME) {
  serveHost(globalThis as unknown as Port<Reply, Request>, createInlineHost());
}

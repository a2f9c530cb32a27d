// The worker: owns the engine, so that the page stays responsive while it computes.

import { EngineHost } from "./engine_host.ts";
import type { Reply, Request } from "./protocol.ts";
import { startEngineModule } from "./wasm_engine.ts";
import { type Port, serveHost } from "./worker_port.ts";

serveHost(globalThis as unknown as Port<Reply, Request>, new EngineHost(startEngineModule));

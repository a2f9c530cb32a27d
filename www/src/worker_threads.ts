// The worker where there are threads: it owns the engine, and starts this same file again for each helper.

import { EngineHost } from "./engine_host.ts";
import { serveAsHelper } from "./helper.ts";
import type { HelperReply, HelperStart } from "./helpers.ts";
import { HELPER_NAME, type Reply, type Request, WORKER_NAME } from "./protocol.ts";
import { startThreadedModule } from "./threaded_engine.ts";
import { type Port, serveHost } from "./worker_port.ts";

const scope = globalThis as unknown as { name?: unknown };
if (scope.name === WORKER_NAME) {
  serveHost(scope as unknown as Port<Reply, Request>, new EngineHost(startThreadedModule));
} else if (scope.name === HELPER_NAME) {
  serveAsHelper(scope as unknown as Port<HelperReply, HelperStart>);
}

// A helper: a worker of the engine's worker, which runs the same module on the same memory and does a part of its work. Once it
// helps it never comes back to its event loop; it ends with the engine's worker.

import init, { help, helperBrokeDown } from "#engine-threads";
import { type HelperReply, type HelperStart, toPlainReason } from "./helpers.ts";
import type { Port } from "./worker_port.ts";

export function serveAsHelper(port: Port<HelperReply, HelperStart>): void {
  port.onmessage = async ({ data: { module, memory, index } }) => {
    try {
      await init({ module_or_path: module, memory });
    } catch (error) {
      port.postMessage({ problem: toPlainReason(error) });
      return;
    }
    port.postMessage({ problem: null });
    try {
      help(index);
    } catch (error) {
      // The engine may be waiting for this helper.
      helperBrokeDown();
      throw error;
    }
  };
}

// Starts the engine's helpers. They run the same script as the engine's worker, under another name.

import { HELPER_NAME } from "./protocol.ts";

/** To a helper: what it starts. */
export interface HelperStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** From 1; the engine's own thread has 0. */
  index: number;
}

/** From a helper: it runs, or why not. */
export interface HelperReply {
  problem: string | null;
}

/** What is used of a Worker. */
export interface HelperWorker {
  postMessage(start: HelperStart): void;
  onmessage: ((event: MessageEvent<HelperReply>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  terminate(): void;
}

const MOST_MILLISECONDS_TO_START = 20_000;

/** Settles when all of them run. @throws Error why one does not; then none does */
export async function startHelpers(
  count: number,
  shared: Omit<HelperStart, "index">,
  create: () => HelperWorker = createHelper,
  mostMilliseconds = MOST_MILLISECONDS_TO_START,
): Promise<void> {
  const started: HelperWorker[] = [];
  const start = (index: number) =>
    new Promise<void>((resolve, reject) => {
      const fail = (problem: string) => reject(new Error(`helper ${index} did not start: ${problem}`));
      const helper = create();
      started.push(helper);
      const late = setTimeout(() => fail(`nothing heard for ${mostMilliseconds} ms`), mostMilliseconds);
      helper.onmessage = ({ data: { problem } }) => {
        clearTimeout(late);
        if (problem === null) resolve();
        else fail(problem);
      };
      helper.onerror = (event) => {
        clearTimeout(late);
        event.preventDefault?.();
        fail(event.message || "its script could not be loaded (CSP worker-src)");
      };
      helper.postMessage({ ...shared, index });
    });
  try {
    await Promise.all(Array.from({ length: count }, (_, helper) => start(helper + 1)));
  } catch (error) {
    for (const helper of started) helper.terminate();
    throw error;
  }
}

/** In words: an error does not cross whole. */
export function toPlainReason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where this script came from says its own scope best: bundlers rename it, and look at nothing that is not a literal. */
function createHelper(): HelperWorker {
  return new Worker(globalThis.location.href, { type: "module", name: HELPER_NAME });
}

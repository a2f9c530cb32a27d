// The worker's end of the protocol: requests in, replies out, the host does the work.

import { toPlainError } from "./errors.ts";
import type { GenerateEvents, Host } from "./host.ts";
import type { Reply, Request } from "./protocol.ts";

/** A worker's own scope, or one end of a MessageChannel. */
export interface Port<Out, In> {
  postMessage(message: Out): void;
  onmessage: ((event: MessageEvent<In>) => void) | null;
}

export function serveHost(port: Port<Reply, Request>, host: Host): void {
  const running = new Map<number, AbortController>();

  async function load(message: Extract<Request, { kind: "load" }>): Promise<void> {
    try {
      const onProgress = (progress: Extract<Reply, { kind: "progress" }>["progress"]) =>
        port.postMessage({ kind: "progress", progress });
      const loaded = await host.load(message.request, onProgress, new AbortController().signal);
      port.postMessage({ kind: "loaded", loaded });
    } catch (error) {
      port.postMessage({ kind: "load-failed", error: toPlainError(error) });
    }
  }

  async function run(message: Extract<Request, { kind: "generate" | "score" }>): Promise<void> {
    const { id } = message;
    const stop = new AbortController();
    running.set(id, stop);
    const events: GenerateEvents = {
      onPiece: (piece) => port.postMessage({ kind: "piece", id, piece }),
      onProgress: (progress) => port.postMessage({ kind: "progress", id, progress }),
      onDevice: (device) => port.postMessage({ kind: "device", id, device }),
    };
    try {
      const answer =
        message.kind === "generate"
          ? await host.generate(message.request, events, stop.signal)
          : await host.score(message.request, events, stop.signal);
      port.postMessage({ kind: "answer", id, answer });
    } catch (error) {
      port.postMessage({ kind: "failed", id, error: toPlainError(error) });
    } finally {
      running.delete(id);
    }
  }

  port.onmessage = ({ data: message }) => {
    switch (message.kind) {
      case "load":
        load(message);
        break;
      case "generate":
      case "score":
        run(message);
        break;
      case "abort":
        running.get(message.id)?.abort();
        break;
    }
  };
}

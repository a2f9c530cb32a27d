// The worker's end of the protocol: requests in, replies out, the host does the work.

import { toPlainError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { Reply, Request } from "./protocol.ts";

/** A worker's own scope, or one end of a MessageChannel. */
export interface Port<Out, In> {
  postMessage(message: Out): void;
  onmessage: ((event: MessageEvent<In>) => void) | null;
}

export function serveHost(port: Port<Reply, Request>, host: Host): void {
  const running = new Map<number, { stop: AbortController; unread: (() => void)[] }>();

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

  async function generate({ id, request }: Extract<Request, { kind: "generate" }>): Promise<void> {
    const stop = new AbortController();
    const unread: (() => void)[] = [];
    running.set(id, { stop, unread });
    try {
      const answer = await host.generate(
        request,
        {
          onPiece: (piece) => {
            port.postMessage({ kind: "piece", id, piece });
            return new Promise((wasRead) => unread.push(wasRead));
          },
          onProgress: (progress) => port.postMessage({ kind: "progress", id, progress }),
          onDevice: (device) => port.postMessage({ kind: "device", id, device }),
        },
        stop.signal,
      );
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
        generate(message);
        break;
      case "read":
        running.get(message.id)?.unread.shift()?.();
        break;
      case "abort":
        running.get(message.id)?.stop.abort();
        break;
    }
  };
}

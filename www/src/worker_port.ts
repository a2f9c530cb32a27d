// The worker's end of the protocol: requests in, replies out, the host does the work.

import { toPlainError } from "./errors.ts";
import type { GenerateEvents, Host } from "./host.ts";
import { cutOut } from "./packed_routing.ts";
import type { Reply, Request } from "./protocol.ts";
import type { OnProgress } from "./types.ts";

/** A worker's own scope, or one end of a MessageChannel. */
export interface Port<Out, In> {
  postMessage(message: Out): void;
  onmessage: ((event: MessageEvent<In>) => void) | null;
}

export function serveHost(port: Port<Reply, Request>, host: Host): void {
  const running = new Map<number, { stop: AbortController; unread: (() => void)[] }>();

  async function load(message: Extract<Request, { kind: "load" }>): Promise<void> {
    try {
      const onProgress: OnProgress = (progress) => port.postMessage({ kind: "progress", progress });
      const loaded = await host.load(message.request, onProgress, new AbortController().signal);
      port.postMessage({ kind: "loaded", loaded });
    } catch (error) {
      port.postMessage({ kind: "load-failed", error: toPlainError(error) });
    }
  }

  /** Answers one request, under its number, in any case. */
  async function answer(message: Extract<Request, { request: unknown; id: number }>): Promise<void> {
    const { id } = message;
    const stop = new AbortController();
    const unread: (() => void)[] = [];
    running.set(id, { stop, unread });
    const events: GenerateEvents = {
      onPiece: (piece) => {
        port.postMessage({ kind: "piece", id, piece: cutOut(piece) });
        return new Promise<void>((wasRead) => unread.push(wasRead));
      },
      onProgress: (progress) => port.postMessage({ kind: "progress", id, progress }),
      onDevice: (device) => port.postMessage({ kind: "device", id, device }),
    };
    try {
      port.postMessage({ kind: "answer", id, answer: await ask(host, message, events, stop.signal) });
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
      case "cache":
        answer(message);
        break;
      case "read":
        running.get(message.id)?.unread.shift()?.();
        break;
      case "abort":
        running.get(message.id)?.stop.abort();
        break;
      case "dispose":
        host.dispose().finally(() => port.postMessage({ kind: "disposed" }));
        break;
    }
  };
}

function ask(
  host: Host,
  message: Extract<Request, { request: unknown; id: number }>,
  events: GenerateEvents,
  signal: AbortSignal,
): Promise<Extract<Reply, { kind: "answer" }>["answer"]> {
  switch (message.kind) {
    case "generate":
      return host.generate(message.request, events, signal);
    case "score":
      return host.score(message.request, events, signal);
    case "cache":
      return host.cache(message.request, events.onProgress, signal);
  }
}

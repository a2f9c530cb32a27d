// The worker's end of the protocol: requests in, replies out, the host does the work.

import { toPlainError } from "./errors.ts";
import type { Host } from "./host.ts";
import type { Reply, Request } from "./protocol.ts";
import type { LoadedDevice, OnProgress, Piece } from "./types.ts";

/** A worker's own scope, or one end of a MessageChannel. */
export interface Port<Out, In> {
  postMessage(message: Out): void;
  onmessage: ((event: MessageEvent<In>) => void) | null;
}

export function serveHost(port: Port<Reply, Request>, host: Host): void {
  const running = new Map<number, AbortController>();

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
  async function answer(
    id: number,
    run: (
      signal: AbortSignal,
      onProgress: OnProgress,
    ) => Promise<Extract<Reply, { kind: "answer" }>["answer"]>,
  ): Promise<void> {
    const stop = new AbortController();
    running.set(id, stop);
    try {
      const onProgress: OnProgress = (progress) => port.postMessage({ kind: "progress", id, progress });
      port.postMessage({ kind: "answer", id, answer: await run(stop.signal, onProgress) });
    } catch (error) {
      port.postMessage({ kind: "failed", id, error: toPlainError(error) });
    } finally {
      running.delete(id);
    }
  }

  async function generate({ id, request }: Extract<Request, { kind: "generate" }>): Promise<void> {
    await answer(id, (signal, onProgress) => {
      const onPiece = (piece: Piece) => port.postMessage({ kind: "piece", id, piece });
      const onDevice = (device: LoadedDevice) => port.postMessage({ kind: "device", id, device });
      return host.generate(request, { onPiece, onProgress, onDevice }, signal);
    });
  }

  async function cache({ id, request }: Extract<Request, { kind: "cache" }>): Promise<void> {
    await answer(id, (signal, onProgress) => host.cache(request, onProgress, signal));
  }

  port.onmessage = ({ data: message }) => {
    switch (message.kind) {
      case "load":
        load(message);
        break;
      case "generate":
        generate(message);
        break;
      case "cache":
        cache(message);
        break;
      case "abort":
        running.get(message.id)?.abort();
        break;
      case "dispose":
        host.dispose().finally(() => port.postMessage({ kind: "disposed" }));
        break;
    }
  };
}

// Stands in for the engine's host on the main thread: the same calls, answered by the worker.

import { aborted, fromPlainError, GanderError } from "./errors.ts";
import type {
  CacheAnswers,
  CacheRequest,
  GenerateEvents,
  GenerateRequest,
  Host,
  Loaded,
  LoadRequest,
  PlainAnswer,
  RunEvents,
  ScoreRequest,
} from "./host.ts";
import type { Reply, Request } from "./protocol.ts";
import type { OnProgress, Scores } from "./types.ts";
import { onAbort, pause } from "./waiting.ts";

const MOST_MILLISECONDS_TO_DISPOSE = 1000;

/** What is used of a Worker. */
export interface WorkerLike {
  postMessage(request: Request): void;
  onmessage: ((event: MessageEvent<Reply>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  terminate(): void;
}

interface Pending<T> {
  resolve: (value: T) => void;
  reject: (error: GanderError) => void;
}

/** Each kind of request has its own kind of answer, which the worker sees to. */
type Asked = Pending<never> & RunEvents & Partial<GenerateEvents>;

export class WorkerHost implements Host {
  readonly #worker: WorkerLike;
  /** What was asked and is not answered yet, by its number. */
  readonly #asked = new Map<number, Asked>();
  #loading: (Pending<Loaded> & { onProgress: OnProgress }) | undefined;
  #nextId = 1;
  /** Set once the worker is gone: why. */
  #ended: GanderError | undefined;
  #onDisposed: () => void = () => {};

  /** @param url of the worker's script, for messages */
  constructor(worker: WorkerLike, url: string) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      const problem = event.message || "it could not be loaded";
      this.#end(new GanderError("worker", event.filename || url, problem, expectedWorker(url)));
    };
  }

  load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded> {
    return new Promise((resolve, reject) => {
      // Nothing in a half-loaded worker is worth keeping.
      onAbort(signal, () => this.#loading && this.#end(aborted("load", signal)));
      this.#loading = { resolve, reject, onProgress };
      this.#worker.postMessage({ kind: "load", request: withoutBuffer(request) });
    });
  }

  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer> {
    return this.#ask((id) => ({ kind: "generate", id, request }), events, signal);
  }

  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    return this.#ask((id) => ({ kind: "score", id, request }), events, signal);
  }

  cache<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<CacheAnswers[Ask]> {
    const events = { onProgress, onDevice: () => {} };
    return this.#ask((id) => ({ kind: "cache", id, request }), events, signal);
  }

  /** Posts a request under a number of its own and waits for what comes under that number. */
  #ask<T>(
    messageOf: (id: number) => Request,
    events: RunEvents & Partial<GenerateEvents>,
    signal: AbortSignal,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      const id = this.#nextId++;
      const stop = () => this.#asked.has(id) && this.#worker.postMessage({ kind: "abort", id });
      onAbort(signal, stop);
      try {
        this.#worker.postMessage(messageOf(id));
      } catch (cause) {
        const problem = "they cannot be sent to a worker";
        reject(new GanderError("invalid-option", "options", problem, "plain data", { cause }));
        return;
      }
      this.#asked.set(id, { ...events, resolve, reject });
    });
  }

  async dispose(): Promise<void> {
    if (this.#ended) return;
    this.#fail(new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded"));
    // A moment for what is being written to the cache, however busy the engine is.
    const disposed = new Promise<void>((resolve) => {
      this.#onDisposed = resolve;
    });
    const waiting = new AbortController();
    this.#worker.postMessage({ kind: "dispose" });
    await Promise.race([disposed, pause(MOST_MILLISECONDS_TO_DISPOSE, waiting.signal)]);
    waiting.abort();
    this.#worker.terminate();
  }

  #receive(reply: Reply): void {
    switch (reply.kind) {
      case "loaded":
        this.#loading?.resolve(reply.loaded);
        this.#loading = undefined;
        break;
      case "disposed":
        this.#onDisposed();
        break;
      case "load-failed":
        this.#end(fromPlainError(reply.error));
        break;
      case "progress":
        if (reply.id === undefined) this.#loading?.onProgress(reply.progress);
        else this.#asked.get(reply.id)?.onProgress(reply.progress);
        break;
      case "piece":
        this.#passOn(reply);
        break;
      case "device":
        this.#asked.get(reply.id)?.onDevice(reply.device);
        break;
      case "answer":
        this.#take(reply.id)?.resolve(reply.answer as never);
        break;
      case "failed":
        this.#take(reply.id)?.reject(fromPlainError(reply.error));
        break;
    }
  }

  async #passOn({ id, piece }: Extract<Reply, { kind: "piece" }>): Promise<void> {
    await this.#asked.get(id)?.onPiece?.(piece);
    if (this.#asked.has(id)) this.#worker.postMessage({ kind: "read", id });
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  /** Ends the worker; everything that still waits for it fails with the reason. */
  #end(reason: GanderError): void {
    if (this.#ended) return;
    this.#worker.terminate();
    this.#fail(reason);
  }

  #fail(reason: GanderError): void {
    this.#ended = reason;
    this.#loading?.reject(reason);
    this.#loading = undefined;
    for (const asked of this.#asked.values()) asked.reject(reason);
    this.#asked.clear();
  }
}

/** A buffer would be in the worker's memory as a whole; a Blob is read from part by part. */
function withoutBuffer(request: LoadRequest): LoadRequest {
  const { base } = request;
  if (!("gguf" in base) || base.gguf instanceof Blob) return request;
  return { ...request, base: { ...base, gguf: new Blob([base.gguf]) } };
}

function expectedWorker(url: string): string {
  // Before its version 8, Vite's development server moves the package's modules and not what they refer to.
  if (url.includes("/.vite/deps/")) return 'optimizeDeps: { exclude: ["gander"] } in vite.config.js';
  const name = new URL(url).pathname.split("/").at(-1);
  return `${name} of this release there, sent as JavaScript, and a policy of the page (CSP worker-src) that allows it`;
}

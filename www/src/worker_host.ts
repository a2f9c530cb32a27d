// Stands in for the engine's host on the main thread: the same calls, answered by the worker.

import { aborted, fromPlainError, GanderError } from "./errors.ts";
import type {
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
import { onAbort } from "./waiting.ts";

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
type Run = Pending<never> & RunEvents & Partial<GenerateEvents>;

export class WorkerHost implements Host {
  readonly #worker: WorkerLike;
  /** What was asked and is not answered yet, by its number. */
  readonly #runs = new Map<number, Run>();
  #loading: (Pending<Loaded> & { onProgress: OnProgress }) | undefined;
  #nextId = 1;
  /** Set once the worker is gone: why. */
  #ended: GanderError | undefined;

  constructor(worker: WorkerLike) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      const problem = event.message || "its script could not be loaded";
      this.#end(
        new GanderError(
          "worker",
          event.filename || "worker.js",
          problem,
          "worker.js of the same release, with the type of a script and a policy (CSP worker-src) that allows it",
        ),
      );
    };
  }

  load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded> {
    return new Promise((resolve, reject) => {
      // Nothing in a half-loaded worker is worth keeping.
      onAbort(signal, () => this.#loading && this.#end(aborted("load", signal)));
      this.#loading = { resolve, reject, onProgress };
      this.#worker.postMessage({ kind: "load", request });
    });
  }

  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer> {
    return this.#ask((id) => ({ kind: "generate", id, request }), events, signal);
  }

  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    return this.#ask((id) => ({ kind: "score", id, request }), events, signal);
  }

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
      const stop = () => this.#runs.has(id) && this.#worker.postMessage({ kind: "abort", id });
      onAbort(signal, stop);
      try {
        this.#worker.postMessage(messageOf(id));
      } catch (cause) {
        const problem = "they cannot be sent to a worker";
        reject(new GanderError("invalid-option", "options", problem, "plain data", { cause }));
        return;
      }
      this.#runs.set(id, { ...events, resolve, reject });
    });
  }

  dispose(): void {
    this.#end(new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded"));
  }

  #receive(reply: Reply): void {
    switch (reply.kind) {
      case "loaded":
        this.#loading?.resolve(reply.loaded);
        this.#loading = undefined;
        break;
      case "load-failed":
        this.#end(fromPlainError(reply.error));
        break;
      case "progress":
        if (reply.id === undefined) this.#loading?.onProgress(reply.progress);
        else this.#runs.get(reply.id)?.onProgress(reply.progress);
        break;
      case "piece":
        this.#runs.get(reply.id)?.onPiece?.(reply.piece);
        break;
      case "device":
        this.#runs.get(reply.id)?.onDevice(reply.device);
        break;
      case "answer":
        this.#take(reply.id)?.resolve(reply.answer as never);
        break;
      case "failed":
        this.#take(reply.id)?.reject(fromPlainError(reply.error));
        break;
    }
  }

  #take(id: number): Run | undefined {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    return run;
  }

  /** Ends the worker; everything that still waits for it fails with the reason. */
  #end(reason: GanderError): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#worker.terminate();
    this.#loading?.reject(reason);
    this.#loading = undefined;
    for (const run of this.#runs.values()) run.reject(reason);
    this.#runs.clear();
  }
}

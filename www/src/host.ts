// What the public API asks of the side that has the engine. The engine's own side (`EngineHost`) and its stand-in
// before a worker (`WorkerHost`) answer the same calls, so nothing above knows which of them it has.

import type { EngineOptions } from "./engine.ts";
import type { PackedRouting } from "./packed_routing.ts";
import type { TraceData } from "./trace_data.ts";
import type {
  Answer,
  Base,
  Budget,
  CacheOptions,
  CacheUsage,
  DeviceName,
  Expert,
  Input,
  LoadedDevice,
  NetworkOptions,
  OnProgress,
  Piece,
  Prefetched,
  Scores,
} from "./types.ts";

/** Everything here can be posted to a worker. */
export interface LoadRequest {
  base: { url: string } | { gguf: Blob | ArrayBuffer; name: string };
  catalogUrls?: string[];
  device: DeviceName;
  budget?: Budget;
  adapterPoolBytes?: number;
  wasmUrl: string;
  /** That the CPU computes with, if more than one. */
  threads?: number;
  /** Absent as false: nothing outlives the model. */
  cache?: CacheOptions | false;
  network?: NetworkOptions;
  /** SHA-256 by absolute URL. */
  integrity?: Record<string, string>;
}

/** What a model is, once loaded. */
export interface Loaded {
  base: Base;
  device: LoadedDevice;
  experts: Expert[];
}

export interface GenerateRequest {
  input: Input;
  options: EngineOptions;
  budget?: Budget;
  /** Of `GenerateOptions`; the engine does not fetch. */
  prefetch?: boolean;
}

export interface ScoreRequest extends GenerateRequest {
  choices: readonly Input[];
}

/** A piece with its routing as plain numbers. */
export type PlainPiece = Omit<Piece, "routing"> & { routing?: PackedRouting };

/** An answer with its routing as plain numbers. */
export type PlainAnswer = Omit<Answer, "routing"> & { routing?: TraceData };

export interface RunEvents {
  onProgress: OnProgress;
  /** Another device took over. */
  onDevice: (device: LoadedDevice) => void;
}

export interface GenerateEvents extends RunEvents {
  /** The promise settles once the piece was read: the engine does not run far ahead of its reader. */
  onPiece: (piece: PlainPiece) => Promise<void> | void;
}

/** What can be asked of the cache, and what comes back. */
export interface CacheAnswers {
  usage: CacheUsage;
  clear: undefined;
  prefetch: Prefetched;
}

export interface CacheRequest<Ask extends keyof CacheAnswers = keyof CacheAnswers> {
  ask: Ask;
  /** Of `prefetch`: ids. */
  experts?: readonly string[];
}

export interface Host {
  load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded>;
  /** Calls queue and are answered in order. */
  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer>;
  /** Queues with the others. */
  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores>;
  /** Waits for no generation. */
  cache<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<CacheAnswers[Ask]>;
  /** What runs and what waits fails at once. Settles when everything is freed, and what was to be kept is. */
  dispose(): Promise<void>;
}

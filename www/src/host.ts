// What the public API asks of the side that has the engine. The engine's own side (`EngineHost`) and its stand-in
// before a worker (`WorkerHost`) answer the same calls, so nothing above knows which of them it has.

import type { EngineOptions } from "./engine.ts";
import type { PackedRouting } from "./packed_routing.ts";
import type { TraceData } from "./trace_data.ts";
import type {
  Answer,
  Base,
  Budget,
  DeviceName,
  Expert,
  Input,
  LoadedDevice,
  OnProgress,
  Piece,
  Scores,
} from "./types.ts";

/** Everything here can be posted to a worker. */
export interface LoadRequest {
  base: { url: string } | { gguf: Blob | ArrayBuffer; name: string };
  catalogUrl?: string;
  device: DeviceName;
  budget?: Budget;
  wasmUrl?: string;
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
  onPiece: (piece: PlainPiece) => void;
}

export interface Host {
  load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded>;
  /** Calls queue and are answered in order. */
  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer>;
  /** Queues with the others. */
  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores>;
  dispose(): void;
}

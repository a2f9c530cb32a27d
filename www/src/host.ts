// What the public API asks of the side that has the engine. The engine's own side (`EngineHost`) and its stand-in
// before a worker (`WorkerHost`) answer the same calls, so nothing above knows which of them it has.

import type { EngineOptions } from "./engine.ts";
import type { Answer, Base, DeviceName, Expert, Input, LoadedDevice, OnProgress, Piece } from "./types.ts";

/** Everything here can be posted to a worker. */
export interface LoadRequest {
  base: { url: string } | { gguf: Blob | ArrayBuffer; name: string };
  catalogUrl?: string;
  device: DeviceName;
  wasmUrl: string;
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
}

export interface GenerateEvents {
  /** The promise settles once the piece was read: the engine does not run far ahead of its reader. */
  onPiece: (piece: Piece) => Promise<void> | void;
  onProgress: OnProgress;
  /** Another device took over. */
  onDevice: (device: LoadedDevice) => void;
}

export interface Host {
  load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded>;
  /** Calls queue and are answered in order. */
  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<Answer>;
  /** Settles when everything is freed. */
  dispose(): Promise<void>;
}

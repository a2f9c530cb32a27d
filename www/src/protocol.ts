// What is said between the main thread and the worker. One model to a worker, so only what it is asked after that carries a number.

import type { PlainError } from "./errors.ts";
import type { GenerateRequest, Loaded, LoadRequest, PlainAnswer, PlainPiece, ScoreRequest } from "./host.ts";
import type { LoadedDevice, Progress, Scores } from "./types.ts";

/** To the worker. Loading is stopped by ending the worker, so it has no abort of its own. */
export type Request =
  | { kind: "load"; request: LoadRequest }
  | { kind: "generate"; id: number; request: GenerateRequest }
  | { kind: "score"; id: number; request: ScoreRequest }
  | { kind: "abort"; id: number };

/** From the worker. `progress` without an id belongs to the loading. */
export type Reply =
  | { kind: "loaded"; loaded: Loaded }
  | { kind: "load-failed"; error: PlainError }
  | { kind: "progress"; id?: number; progress: Progress }
  | { kind: "piece"; id: number; piece: PlainPiece }
  | { kind: "device"; id: number; device: LoadedDevice }
  | { kind: "answer"; id: number; answer: PlainAnswer | Scores }
  | { kind: "failed"; id: number; error: PlainError };

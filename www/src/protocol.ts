// What is said between the main thread and the worker. One model to a worker, so only what can be asked of it carries a number.

import type { PlainError } from "./errors.ts";
import type {
  CacheAnswers,
  CacheRequest,
  GenerateRequest,
  Loaded,
  LoadRequest,
  PlainAnswer,
  PlainPiece,
  ScoreRequest,
} from "./host.ts";
import type { LoadedDevice, Progress, Scores } from "./types.ts";

/** By which the script knows that it was started as the worker of this package, and not imported. */
export const WORKER_NAME = "gander-engine";

/** As {@link WORKER_NAME}, of the engine's helpers. */
export const HELPER_NAME = "gander-helper";

/** To the worker. Loading is stopped by ending the worker, so it has no abort of its own. */
export type Request =
  | { kind: "load"; request: LoadRequest }
  | { kind: "generate"; id: number; request: GenerateRequest }
  | { kind: "score"; id: number; request: ScoreRequest }
  | { kind: "cache"; id: number; request: CacheRequest }
  /** The oldest piece that was not read yet, was. */
  | { kind: "read"; id: number }
  | { kind: "abort"; id: number }
  | { kind: "dispose" };

/** From the worker. `progress` without an id belongs to the loading. */
export type Reply =
  | { kind: "loaded"; loaded: Loaded }
  | { kind: "disposed" }
  | { kind: "load-failed"; error: PlainError }
  | { kind: "progress"; id?: number; progress: Progress }
  | { kind: "piece"; id: number; piece: PlainPiece }
  | { kind: "device"; id: number; device: LoadedDevice }
  | { kind: "answer"; id: number; answer: PlainAnswer | Scores | CacheAnswers[keyof CacheAnswers] }
  | { kind: "failed"; id: number; error: PlainError };

// The one error that leaves this package, on whichever side of the worker it began.

/**
 * What Rust answers for bad input (the same strings as `ErrorCode::as_str`), and what only the host can meet. What each
 * means, and what helps: docs/troubleshooting.md.
 */
export type GanderErrorCode =
  | "io"
  | "invalid-file"
  | "unsupported"
  | "missing-tensor"
  | "shape-mismatch"
  | "wrong-base"
  | "token-out-of-range"
  | "no-tokenizer"
  | "empty-input"
  | "invalid-option"
  | "unknown-expert"
  /** A page, or a file whose SHA-256 is known, has other bytes than it must have. */
  | "page-mismatch"
  | "pool-too-small"
  | "not-finite"
  /** `device: "webgpu"`: there is no adapter, or it gives no device. */
  | "no-gpu"
  /** The GPU lacks something that the model or its shaders need; `place` names the limit. */
  | "device-limit"
  /** The GPU's driver refused some work; `problem` is its message. */
  | "device-failed"
  /** The GPU computes something wrong, as a test at its opening found. */
  | "device-wrong"
  /** The GPU went away. */
  | "device-lost"
  /** There is not enough memory, of the GPU or for the base. */
  | "out-of-memory"
  | "invalid-state"
  /** The server answered 404 or 410. */
  | "not-found"
  /** The server answered with another status that is not success. */
  | "http"
  /** No answer, a broken connection, or no bytes for a long while. */
  | "network"
  /** The server ignores byte ranges, and the file is too large to cut the page out of the whole. */
  | "range-ignored"
  /** An address that is not followed: not https or http, with a password in it, or a redirect from https to http. */
  | "unsafe-url"
  /** An `AbortSignal` fired. */
  | "aborted"
  /** The model was disposed of. */
  | "disposed"
  /** The worker did not start or broke off. */
  | "worker"
  /** A bug in the engine. The model can do no more; load it again. */
  | "internal";

/** A {@link GanderError} as plain data: what crosses the worker, and what the engine throws. */
export interface PlainError {
  code: string;
  place: string;
  problem: string;
  expected: string;
}

/** Says what is wrong (`problem`), where (`place`: a file, a URL, an option), and what was `expected`. */
export class GanderError extends Error {
  /** The worker's script has a copy of this class, whose errors are as good. @ignore */
  static override [Symbol.hasInstance](value: unknown): value is GanderError {
    return value instanceof Error && value.name === "GanderError" && isPlainError(value);
  }

  /** Tells it from other errors where `instanceof` cannot: across copies of the package. */
  override readonly name = "GanderError";
  /** What kind of failure it is: the same word in every release. */
  readonly code: GanderErrorCode;
  /** Where: a file, a URL, an option, a part of them. */
  readonly place: string;
  /** What is wrong there. */
  readonly problem: string;
  /** What was expected instead. */
  readonly expected: string;

  /** @ignore */
  constructor(
    code: GanderErrorCode,
    place: string,
    problem: string,
    expected: string,
    options?: { cause?: unknown },
  ) {
    super(`${place}: ${problem}; expected ${expected} [${code}]`, options);
    this.code = code;
    this.place = place;
    this.problem = problem;
    this.expected = expected;
  }
}

/** The named error for a fired signal; its `cause` is the signal's own reason. */
export function aborted(place: string, signal?: AbortSignal): GanderError {
  return new GanderError("aborted", place, "stopped by its AbortSignal", "to run to the end", {
    cause: signal?.reason,
  });
}

/** Throws {@link aborted} if the signal has fired. */
export function throwIfAborted(place: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(place, signal);
}

/** Takes an error apart so that it can be posted: a structured clone keeps no class and no own fields. */
export function toPlainError(error: unknown): PlainError {
  const { code, place, problem, expected } = toGanderError(error);
  return { code, place, problem, expected };
}

/** Puts a posted error together again. */
export function fromPlainError(plain: PlainError): GanderError {
  return new GanderError(plain.code as GanderErrorCode, plain.place, plain.problem, plain.expected);
}

/**
 * Any thrown thing as a {@link GanderError}: the engine throws plain data with a code, everything else is a bug.
 */
export function toGanderError(error: unknown): GanderError {
  if (error instanceof GanderError) return error;
  if (isPlainError(error)) return fromPlainError(error);
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new GanderError("internal", "gander", text, "no such failure: please report it", { cause: error });
}

/** What the engine finds wrong with a file, whoever brought it. */
const fileProblems = new Set<GanderErrorCode>([
  "io",
  "invalid-file",
  "unsupported",
  "missing-tensor",
  "shape-mismatch",
  "not-finite",
]);

/** Whether an error is about a file's content, and not about the way to it or about whoever reads it. */
export function isOfFile(error: unknown): boolean {
  return fileProblems.has(toGanderError(error).code);
}

function isPlainError(error: unknown): error is PlainError {
  if (typeof error !== "object" || error === null) return false;
  const fields = error as Record<string, unknown>;
  return ["code", "place", "problem", "expected"].every((name) => typeof fields[name] === "string");
}

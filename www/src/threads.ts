// How many threads a model computes with.

import { GanderError } from "./errors.ts";
import type { LoadOptions } from "./types.ts";

/** Of those that nobody asked for: as many leave a page's other work its processors. */
const MOST_BY_DEFAULT = 4;

/** `MOST_THREADS` in src/threads.rs. */
const MOST = 8;

/** What the page is like. */
export interface ThreadsOfPage {
  /** Threads share memory, which only such a page may have. */
  isIsolated: boolean;
  processors: number;
}

/**
 * 1 stands for the build without threads.
 * @throws GanderError `invalid-option`
 */
export function chosenThreads(
  { threads, wasmUrl, inline }: Pick<LoadOptions, "threads" | "wasmUrl" | "inline">,
  { isIsolated, processors } = threadsOfPage(),
): number {
  // What has helpers waits for them, which a page's own thread must not.
  const isPossible = isIsolated && inline !== true;
  if (wasmUrl !== undefined && threads !== undefined && threads > 1 && !isPossible) {
    const problem = `it is ${threads}, and wasmUrl is a file for threads`;
    const expected = "a page that is crossOriginIsolated, and a model in a worker; or 1, and a file for that";
    throw new GanderError("invalid-option", "threads", problem, expected);
  }
  if (!isPossible) return 1;
  // Whoever says where the one file is has the one without threads, unless he says otherwise.
  const byDefault = wasmUrl === undefined ? Math.min(processors, MOST_BY_DEFAULT) : 1;
  return Math.min(threads ?? byDefault, MOST);
}

function threadsOfPage(): ThreadsOfPage {
  return {
    isIsolated: globalThis.crossOriginIsolated === true,
    processors: globalThis.navigator?.hardwareConcurrency ?? 1,
  };
}

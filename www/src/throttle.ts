// Download progress comes with every network chunk, some thousands of times a second; readers need it a few.

import type { OnProgress } from "./types.ts";

const INTERVAL_MILLISECONDS = 50;

/** Passes on the first and the last report of each file, and between them one per interval. */
export function throttled(onProgress: OnProgress): OnProgress {
  const lastReports = new Map<string, number>();
  return (progress) => {
    const key = `${progress.phase} ${progress.file}`;
    const now = performance.now();
    const isEdge = progress.loaded === 0 || progress.loaded === progress.total;
    if (!isEdge && now - (lastReports.get(key) ?? 0) < INTERVAL_MILLISECONDS) return;
    lastReports.set(key, now);
    onProgress(progress);
  };
}

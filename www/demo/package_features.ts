// What newer versions of the package can do, used where it is there.

import type { Gander, Progress, Stats } from "gander";

/** What is kept between visits. */
export interface ModelCache {
  usage(): Promise<{ kind: string; bytes: number; entries: number; problem: string | null }>;
  clear(): Promise<void>;
  prefetch(ids: readonly string[], options: { onProgress?: (progress: Progress) => void }): Promise<unknown>;
}

export function cacheOf(model: Gander): ModelCache | undefined {
  return (model as { cache?: ModelCache }).cache;
}

/** Pages that an earlier answer or visit had left in the cache. */
export function fromCache(stats: Stats): { pages: number; bytes: number } {
  const { pagesFromCache = 0, bytesFromCache = 0 } = stats as Stats & {
    pagesFromCache?: number;
    bytesFromCache?: number;
  };
  return { pages: pagesFromCache, bytes: bytesFromCache };
}

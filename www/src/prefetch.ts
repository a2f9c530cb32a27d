// Brings pages before anybody waits for them.

import type { AdapterStore, PageSource } from "./adapter_store.ts";
import type { OnProgress, Prefetched } from "./types.ts";
import { allOrFirstFailure, linked } from "./waiting.ts";

/** Fewer than the store has turns: an answer that waits for pages must not wait behind these. */
const PARALLEL_PREFETCHES = 3;

/** A page of an expert. */
export interface ExpertPage extends PageSource {
  expert: string;
  block: string;
}

/** All of them, or the first failure; what came before it is kept. */
export async function prefetch(
  store: AdapterStore,
  pages: readonly ExpertPage[],
  onProgress: OnProgress,
  signal: AbortSignal,
  onFetched: (page: ExpertPage) => void = () => {},
): Promise<Prefetched> {
  const transfers = linked(signal);
  const file = [...new Set(pages.map((page) => page.expert))].join(", ");
  const total = pages.reduce((sum, page) => sum + page.bytes, 0);
  const done: Prefetched = { pages: 0, bytes: 0, pagesFetched: 0, bytesFetched: 0 };
  const report = () => onProgress({ phase: "pages", file, loaded: done.bytes, total });
  report();
  const waiting = [...pages];
  const bringNext = async (): Promise<void> => {
    for (let page = waiting.shift(); page; page = waiting.shift()) {
      const { bytes, isFromCache } = await store.page(page, transfers.signal);
      done.pages++;
      done.bytes += bytes.length;
      if (!isFromCache) {
        done.pagesFetched++;
        done.bytesFetched += bytes.length;
        onFetched(page);
      }
      report();
    }
  };
  await allOrFirstFailure(transfers, Array.from({ length: PARALLEL_PREFETCHES }, bringNext));
  return done;
}

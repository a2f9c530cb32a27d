// What one answer took.

import type { BroughtPage } from "./adapter_store.ts";
import type { DecoderPrefetch } from "./decoder_prefetch.ts";
import type { Step } from "./engine.ts";
import type { Stats } from "./types.ts";

/** Times one answer and counts its pages. */
export class Meter {
  readonly #start = performance.now();
  #firstToken = Number.NaN;
  #tokens = 0;
  #waited = 0;
  readonly #pages = { fetched: 0, bytesFetched: 0, fromCache: 0, bytesFromCache: 0 };

  token(): void {
    if (this.#tokens === 0) this.#firstToken = performance.now() - this.#start;
    this.#tokens++;
  }

  page({ bytes, isFromCache }: BroughtPage): void {
    this.#pages[isFromCache ? "fromCache" : "fetched"]++;
    this.#pages[isFromCache ? "bytesFromCache" : "bytesFetched"] += bytes.length;
  }

  async waiting(pages: Promise<void>): Promise<void> {
    const start = performance.now();
    await pages;
    this.#waited += performance.now() - start;
  }

  stats(work: Extract<Step, { kind: "done" }>, prefetched: ReturnType<DecoderPrefetch["counts"]>): Stats {
    const { fetched, bytesFetched, fromCache, bytesFromCache } = this.#pages;
    const milliseconds = performance.now() - this.#start;
    return {
      tokens: this.#tokens,
      milliseconds,
      firstTokenMilliseconds: this.#tokens > 0 ? this.#firstToken : milliseconds,
      passes: work.passes,
      pagesWanted: work.pagesWanted,
      bytesWanted: work.bytesWanted,
      pagesFetched: fetched,
      bytesFetched,
      pagesFromCache: fromCache,
      bytesFromCache,
      pagesSkipped: work.pagesSkipped,
      ...prefetched,
      waitMilliseconds: this.#waited,
    };
  }
}

// Fetches what the decoder will most likely want, while it still computes with what it has: an expert that served much of the
// input will serve the output.

import type { AdapterStore } from "./adapter_store.ts";
import type { MissingPage } from "./engine.ts";
import { type ExpertPage, prefetch } from "./prefetch.ts";
import type { Stats } from "./types.ts";

/** Of an expert's encoder pages, so many have to be wanted before its decoder pages are fetched. */
const LEAST_SHARE = 0.5;

/** For one answer. */
export class DecoderPrefetch {
  readonly #store: AdapterStore;
  readonly #pagesOf: (experts: string[]) => ExpertPage[];
  /** Pages that nobody has to fetch any more: wanted before, in the engine already, or on their way. */
  readonly #settled: Set<string>;
  readonly #wanted = new Set<string>();
  /** Sizes of the pages that came before they were wanted. */
  readonly #fetched = new Map<string, number>();
  readonly #signal: AbortSignal;

  /**
   * @param pagesOf all pages of some experts
   * @param provided keys of pages that the engine has been given before
   * @param signal ends what is still on its way
   */
  constructor(
    store: AdapterStore,
    pagesOf: (experts: string[]) => ExpertPage[],
    provided: ReadonlySet<string>,
    signal: AbortSignal,
  ) {
    this.#store = store;
    this.#pagesOf = pagesOf;
    this.#settled = new Set(provided);
    this.#signal = signal;
  }

  /** Learns what a step was missing, and begins to fetch what that makes likely. Failures are nobody's concern yet. */
  wanted(pages: readonly MissingPage[]): void {
    for (const page of pages) {
      const key = keyOf(page);
      this.#wanted.add(key);
      this.#settled.add(key);
    }
    const likely = this.#likely([...new Set(pages.map((page) => page.expert))]);
    for (const page of likely) this.#settled.add(keyOf(page));
    const count = (page: ExpertPage) => {
      // One that is wanted by now is counted where it is waited for.
      if (!this.#wanted.has(keyOf(page))) this.#fetched.set(keyOf(page), page.bytes);
    };
    prefetch(this.#store, likely, () => {}, this.#signal, count).catch(() => {});
  }

  counts(): Pick<Stats, "pagesPrefetched" | "bytesPrefetched" | "pagesPrefetchedWanted"> {
    const keys = [...this.#fetched.keys()];
    return {
      pagesPrefetched: keys.length,
      bytesPrefetched: [...this.#fetched.values()].reduce((sum, bytes) => sum + bytes, 0),
      pagesPrefetchedWanted: keys.filter((key) => this.#wanted.has(key)).length,
    };
  }

  #likely(experts: string[]): ExpertPage[] {
    return experts.flatMap((expert) => {
      const own = this.#pagesOf([expert]);
      const encoder = own.filter(({ block }) => block.startsWith("encoder."));
      const served = encoder.filter((page) => this.#wanted.has(keyOf(page)));
      if (encoder.length === 0 || served.length < LEAST_SHARE * encoder.length) return [];
      return own.filter((page) => page.block.startsWith("decoder.") && !this.#settled.has(keyOf(page)));
    });
  }
}

/** One page among all that a model has. */
export function keyOf({ expert, block }: { expert: string; block: string }): string {
  return `${expert} ${block}`;
}

// `model.cache`: what is kept between visits, as the users of the package see it.

import type { CacheAnswers, CacheRequest, Host } from "./host.ts";
import type { CacheUsage, OnProgress, Prefetched, PrefetchOptions } from "./types.ts";

/** What is kept of a model's files, and how to keep more, or less. */
export class ModelCache {
  readonly #host: Host;

  /** @internal */
  constructor(host: Host) {
    this.#host = host;
  }

  /** How much is kept, of how much that may be, and what went wrong with it. */
  usage(): Promise<CacheUsage> {
    return this.#ask({ ask: "usage" });
  }

  /** Removes everything, also what other models of this origin (in Node: of this folder) keep. */
  async clear(): Promise<void> {
    await this.#ask({ ask: "clear" });
  }

  /**
   * Brings all pages of some experts into the cache, so that their first use waits for no network. Answers may be made
   * meanwhile.
   * @throws GanderError `unknown-expert`, `aborted`, and what fetching a page can meet.
   */
  prefetch(ids: readonly string[], options: PrefetchOptions = {}): Promise<Prefetched> {
    return this.#ask({ ask: "prefetch", experts: [...ids] }, options.onProgress, options.signal);
  }

  #ask<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress = () => {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<CacheAnswers[Ask]> {
    return this.#host.cache(request, onProgress, signal);
  }
}

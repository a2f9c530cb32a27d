// Brings the pages of LoRA weights that the engine asks for: byte ranges of files on any static server, or out of the cache.
//
// It knows nothing of the engine. What it hands out has the size and the SHA-256 that the catalogue names.

import { downloadRange, type RangeSource } from "./download_range.ts";
import { aborted, GanderError, throwIfAborted } from "./errors.ts";
import type { PageCache } from "./page_cache.ts";
import type { Network } from "./transfer.ts";
import { onAbort } from "./waiting.ts";

/** Where a page is and what it must hash to. */
export interface PageSource extends RangeSource {
  /** Absolute. */
  url: string;
  /** `omit` where the catalogue is of another origin than the file. */
  credentials?: RequestCredentials;
}

/** A page, and whether it came out of the cache. */
export interface BroughtPage {
  bytes: Uint8Array<ArrayBuffer>;
  isFromCache: boolean;
}

/** Connections at once. HTTP/1.1 servers get six from a browser; more only queue. */
const PARALLEL_TRANSFERS = 6;

/** A catalogue may declare any size. A block's LoRA of rank 256 for the largest T5 stays below. */
const PAGE_LIMIT_BYTES = 256 * 2 ** 20;

/** A transfer that several callers may wait for. It is given up once nobody does. */
interface SharedTransfer {
  promise: Promise<BroughtPage>;
  controller: AbortController;
  waiting: number;
}

export class AdapterStore {
  readonly #network: Network;
  readonly #cache: PageCache;
  readonly #transfers = new Map<string, SharedTransfer>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(network: Network, cache: PageCache) {
    this.#network = network;
    this.#cache = cache;
  }

  /**
   * One page. Concurrent calls for a page share one request. A failed request is forgotten, so a later call tries again.
   * @throws GanderError `not-found`, `http`, `network`, `page-mismatch`, `range-ignored`, `unsafe-url`; `invalid-file`
   *   for a page of an unreasonable size; `aborted` if `signal` fires.
   */
  async page(source: PageSource, signal?: AbortSignal): Promise<BroughtPage> {
    throwIfAborted(source.url, signal);
    if (source.bytes > PAGE_LIMIT_BYTES) {
      const expected = `at most ${PAGE_LIMIT_BYTES} bytes`;
      throw new GanderError("invalid-file", source.url, `a page of ${source.bytes} bytes`, expected);
    }
    const key = `${source.sha256} ${source.offset} ${source.bytes} ${source.url}`;
    const shared = this.#transfers.get(key) ?? this.#begin(key, source);
    shared.waiting++;
    try {
      return await orAbort(shared.promise, source.url, signal);
    } finally {
      shared.waiting--;
      if (shared.waiting === 0) {
        this.#transfers.delete(key);
        shared.controller.abort();
      }
    }
  }

  /** Whether the page is there without the network. */
  async isKept({ sha256, bytes }: PageSource): Promise<boolean> {
    return (await this.#cache.page(sha256, bytes)) !== undefined;
  }

  #begin(key: string, source: PageSource): SharedTransfer {
    const controller = new AbortController();
    const promise = this.#bring(source, controller.signal);
    // Every caller may have left by the time it fails.
    promise.catch(() => {});
    const shared = { promise, controller, waiting: 0 };
    this.#transfers.set(key, shared);
    return shared;
  }

  async #bring(source: PageSource, signal: AbortSignal): Promise<BroughtPage> {
    await this.#takeTurn();
    try {
      throwIfAborted(source.url, signal);
      const kept = await this.#cache.page(source.sha256, source.bytes);
      if (kept) return { bytes: kept, isFromCache: true };
      const { credentials } = source;
      // The browser's own cache would keep the page a second time, and lets one range of a file after the other through.
      const bytes = await downloadRange(this.#network, source, {
        signal,
        credentials,
        httpCache: "no-store",
      });
      // The answer does not wait for it.
      this.#cache.keepPage(source.sha256, bytes);
      return { bytes, isFromCache: false };
    } finally {
      this.#passTurn();
    }
  }

  async #takeTurn(): Promise<void> {
    if (this.#running < PARALLEL_TRANSFERS) this.#running++;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
  }

  /** The turn goes straight to the next in line; only without one does the count go down. */
  #passTurn(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#running--;
  }
}

/** The promise, or an error as soon as the signal fires. */
function orAbort<T>(promise: Promise<T>, place: string, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    const forget = onAbort(signal, () => reject(aborted(place, signal)));
    promise.then(resolve, reject).finally(forget);
  });
}

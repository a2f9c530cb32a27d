// Brings the pages of LoRA weights that the engine asks for: byte ranges of files on any static server.
//
// It knows nothing of the engine. What it hands out has the size and the SHA-256 that the catalogue names.

import { verifySha256 } from "./digest.ts";
import { downloadRange } from "./download.ts";
import { aborted, throwIfAborted } from "./errors.ts";
import type { Network } from "./transfer.ts";
import { onAbort } from "./waiting.ts";

/** Where a page is and what it must hash to. */
export interface PageSource {
  /** Absolute. */
  url: string;
  offset: number;
  bytes: number;
  sha256: string;
}

/** Connections at once. HTTP/1.1 servers get six from a browser; more only queue. */
const PARALLEL_TRANSFERS = 6;

/** The most that is kept: half of what the engine's pool holds, whose numbers are twice as wide. */
const KEPT_BYTES = 256 * 2 ** 20;

/** A transfer that several callers may wait for. It is given up once nobody does. */
interface SharedTransfer {
  promise: Promise<Uint8Array>;
  controller: AbortController;
  waiting: number;
}

export class AdapterStore {
  readonly #network: Network;
  readonly #transfers = new Map<string, SharedTransfer>();
  readonly #queue: (() => void)[] = [];
  #running = 0;
  /** Pages that came, oldest first. */
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  /** Keeps what comes, for an engine whose memory may go away with its device. */
  keepsPages = false;

  constructor(network: Network) {
    this.#network = network;
  }

  /**
   * The bytes of one page. Concurrent calls for a page share one request. A failed request is forgotten, so a later
   * call tries again.
   * @throws GanderError `not-found`, `http`, `network`, `page-mismatch`; `aborted` if `signal` fires.
   */
  async page(source: PageSource, signal?: AbortSignal): Promise<Uint8Array> {
    throwIfAborted(source.url, signal);
    const key = `${source.sha256} ${source.offset} ${source.bytes} ${source.url}`;
    const kept = this.#kept.get(key);
    if (kept) return kept;
    const shared = this.#transfers.get(key) ?? this.#begin(key, source);
    shared.waiting++;
    try {
      const bytes = await orAbort(shared.promise, source.url, signal);
      if (this.keepsPages) this.#keep(key, bytes);
      return bytes;
    } finally {
      shared.waiting--;
      if (shared.waiting === 0) {
        this.#transfers.delete(key);
        shared.controller.abort();
      }
    }
  }

  #keep(key: string, bytes: Uint8Array): void {
    if (this.#kept.has(key)) return;
    this.#kept.set(key, bytes);
    this.#keptBytes += bytes.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
  }

  #begin(key: string, source: PageSource): SharedTransfer {
    const controller = new AbortController();
    const promise = this.#fetchVerified(source, controller.signal);
    // Every caller may have left by the time it fails.
    promise.catch(() => {});
    const shared = { promise, controller, waiting: 0 };
    this.#transfers.set(key, shared);
    return shared;
  }

  async #fetchVerified(source: PageSource, signal: AbortSignal): Promise<Uint8Array> {
    await this.#takeTurn();
    try {
      throwIfAborted(source.url, signal);
      const bytes = await downloadRange(this.#network, source.url, source.offset, source.bytes, signal);
      await verifySha256(bytes, source.sha256, `${source.url} (${source.bytes} bytes from ${source.offset})`);
      return bytes;
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

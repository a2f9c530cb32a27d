// What is kept between visits: pages and pieces of files, each under its own SHA-256, so that what comes out is what went
// in, whoever else uses the same shelf. It never fails: what cannot be kept is fetched again the next time.

import { CacheStorageShelf } from "./cache_storage_shelf.ts";
import { hexSha256 } from "./digest.ts";
import { DiskShelf } from "./disk_shelf.ts";
import { MemoryShelf, type Shelf, type ShelfEntry } from "./shelf.ts";
import type { CacheOptions, CacheUsage } from "./types.ts";

export const DEFAULT_BUDGET_BYTES = 2 ** 30;

/** Without storage, pages are kept in memory, and not so many. */
const MEMORY_BUDGET_BYTES = 256 * 2 ** 20;

/** Room is made for more than was asked for, so that not every page has to make its own. */
const SHARE_AFTER_EVICTION = 0.9;

/** Other tabs write too: so often they are looked after. */
const WRITES_BETWEEN_COUNTS = 64;

/** Storage that fails so often in a row is left alone until the model is loaded again. */
const MOST_FAILURES = 3;

const TOUCH_DELAY_MILLISECONDS = 1000;

/** Of a whole file, or of the beginning of one. */
export type NoteKind = "file" | "part";

export class PageCache {
  readonly #shelf: Shelf;
  readonly #budgetBytes: number;
  /** Since the shelf was last told. */
  readonly #uses = new Map<string, number>();
  /** What this model was loaded from is of use as long as the model is. */
  readonly #pinned = new Set<string>();
  #touching: ReturnType<typeof setTimeout> | undefined;
  /** Of all entries; undefined when it has to be counted anew. */
  #total: number | undefined;
  #writes = 0;
  #failures = 0;
  #problem: string | null;
  /** Room is made for one after the other, so that each knows how much is there; then they are written side by side. */
  #lastRoom: Promise<unknown> = Promise.resolve();
  readonly #writing = new Set<Promise<void>>();

  constructor(shelf: Shelf, budgetBytes: number, problem: string | null = null) {
    this.#shelf = shelf;
    this.#budgetBytes = budgetBytes;
    this.#problem = problem;
  }

  /** The best shelf there is: Cache Storage, in Node the disk, else memory. */
  static async open(options: CacheOptions | false | undefined): Promise<PageCache> {
    const budget = options ? (options.budgetBytes ?? DEFAULT_BUDGET_BYTES) : MEMORY_BUDGET_BYTES;
    const inMemory = (problem: string | null) =>
      new PageCache(new MemoryShelf(), Math.min(budget, MEMORY_BUDGET_BYTES), problem);
    if (!options) return inMemory(null);
    if (globalThis.crypto?.subtle === undefined) {
      return inMemory("the browser keeps nothing for pages that are not served by https");
    }
    try {
      if (typeof caches !== "undefined") return new PageCache(await CacheStorageShelf.open(), budget);
      if (globalThis.process?.versions?.node) {
        return new PageCache(await DiskShelf.open(options.folder), budget);
      }
      return inMemory("there is no storage here");
    } catch (error) {
      return inMemory(`storage is not to be had: ${textOf(error)}`);
    }
  }

  /** Whether it outlives the model. */
  get isPersistent(): boolean {
    return this.#shelf.kind !== "memory";
  }

  /** The bytes with this hash, or undefined. What is there and has another hash is dropped. */
  async page(sha256: string, bytes: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const name = nameOf(sha256, bytes);
    const found = await this.#read(name);
    if (found === undefined) return undefined;
    if (found.length === bytes && (await hexSha256(found)) === sha256) {
      this.#use(name);
      return found;
    }
    await this.#remove(name);
    return undefined;
  }

  /** Keeps bytes whose hash was checked. Where none can be computed nothing is kept: what is wrong would stay so. */
  async keepPage(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (globalThis.crypto?.subtle === undefined) return;
    await this.#write(nameOf(sha256, bytes.length), bytes);
  }

  /** What was noted under a key of any form; undefined if nothing was, or if it is not what was written. */
  async note<T>(key: string, kind: NoteKind): Promise<T | undefined> {
    const name = await noteName(key, kind);
    const bytes = await this.#read(name);
    if (bytes === undefined) return undefined;
    const [hash, text = ""] = splitOnce(new TextDecoder().decode(bytes), "\n");
    if (hash !== (await hashOf(text))) {
      await this.#remove(name);
      return undefined;
    }
    this.#pinned.add(name);
    this.#use(name);
    return JSON.parse(text) as T;
  }

  async keepNote(key: string, kind: NoteKind, note: unknown): Promise<void> {
    const name = await noteName(key, kind);
    const text = JSON.stringify(note);
    this.#pinned.add(name);
    await this.#write(name, new TextEncoder().encode(`${await hashOf(text)}\n${text}`));
  }

  async dropNote(key: string, kind: NoteKind): Promise<void> {
    await this.#remove(await noteName(key, kind));
  }

  dropPage(sha256: string, bytes: number): Promise<void> {
    return this.#remove(nameOf(sha256, bytes));
  }

  /** Does not make room at the cost of this one as long as the model is loaded. */
  pin(sha256: string, bytes: number): void {
    this.#pinned.add(nameOf(sha256, bytes));
  }

  async usage(): Promise<CacheUsage> {
    const entries = await this.#list();
    return {
      kind: this.#shelf.kind,
      bytes: sumOf(entries),
      entries: entries.length,
      budgetBytes: this.#budgetBytes,
      quotaBytes: this.#shelf.kind === "browser" ? await quota() : null,
      problem: this.#problem,
    };
  }

  /** Forgets everything, also what other models and tabs keep. */
  async clear(): Promise<void> {
    await Promise.all(this.#writing);
    try {
      await this.#shelf.clear();
    } catch (error) {
      this.#failed(error);
    }
    this.#uses.clear();
    this.#pinned.clear();
    this.#total = undefined;
    this.#failures = 0;
  }

  /** Waits for what is being written, and sees to it that the budget holds, if this model wrote nothing too. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing);
    if (sumOf(await this.#list()) > this.#budgetBytes) await this.#evict(this.#budgetBytes);
    await this.#flush();
  }

  /** Tells the shelf what was of use. */
  async #flush(): Promise<void> {
    clearTimeout(this.#touching);
    this.#touching = undefined;
    if (this.#uses.size === 0) return;
    const uses = new Map(this.#uses);
    this.#uses.clear();
    await this.#shelf.touch(uses).catch((error) => this.#failed(error));
  }

  async #read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return await this.#shelf.read(name);
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  async #remove(name: string): Promise<void> {
    this.#total = undefined;
    await this.#shelf.remove(name).catch((error) => this.#failed(error));
  }

  #write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const room = this.#lastRoom.then(() => this.#makeRoom(bytes.length));
    this.#lastRoom = room;
    const writing = room
      .then((hasRoom) => (hasRoom ? this.#writeOrEvict(name, bytes) : undefined))
      .catch((error) => this.#failed(error))
      .finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
    return writing;
  }

  async #writeOrEvict(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.#shelf.write(name, bytes);
    } catch {
      // Most likely the browser's quota, which may be smaller than the budget: half of what is there makes room once.
      await this.#evict(sumOf(await this.#list()) / 2);
      await this.#shelf.write(name, bytes);
    }
    this.#failures = 0;
    this.#use(name);
  }

  /** Whether so many more bytes are within the budget, now that what was of no use for long may have been removed. */
  async #makeRoom(bytes: number): Promise<boolean> {
    if (this.#failures >= MOST_FAILURES) return false;
    this.#writes++;
    const isKnown = this.#total !== undefined && this.#writes % WRITES_BETWEEN_COUNTS !== 0;
    let total = isKnown ? (this.#total ?? 0) : sumOf(await this.#list());
    if (total + bytes > this.#budgetBytes) {
      total = await this.#evict(this.#budgetBytes * SHARE_AFTER_EVICTION - bytes);
    }
    const fits = total + bytes <= this.#budgetBytes;
    this.#total = fits ? total + bytes : total;
    if (!fits) this.#problem = `the budget of ${this.#budgetBytes} bytes is full`;
    return fits;
  }

  /**
   * Removes what was of use longest ago until no more than `target` bytes are left, if possible. Tells what is left. What is
   * pinned goes only where it is beyond the budget by itself: a larger budget had let it in.
   */
  async #evict(target: number): Promise<number> {
    await this.#flush();
    const entries = (await this.#list()).sort((one, other) => one.lastUse - other.lastUse);
    let total = sumOf(entries);
    const isPinned = ({ name }: ShelfEntry) => this.#pinned.has(name);
    const remove = async (candidates: ShelfEntry[], limit: number) => {
      for (const { name, bytes } of candidates) {
        if (total <= limit) break;
        await this.#remove(name);
        total -= bytes;
      }
    };
    await remove(
      entries.filter((entry) => !isPinned(entry)),
      target,
    );
    await remove(entries.filter(isPinned), this.#budgetBytes);
    return total;
  }

  async #list(): Promise<ShelfEntry[]> {
    try {
      return await this.#shelf.list();
    } catch (error) {
      this.#failed(error);
      return [];
    }
  }

  #use(name: string): void {
    this.#uses.set(name, Date.now());
    if (this.#touching !== undefined) return;
    this.#touching = setTimeout(() => this.#flush(), TOUCH_DELAY_MILLISECONDS);
    // It is no reason for a Node process to stay.
    (this.#touching as { unref?: () => void }).unref?.();
  }

  #failed(error: unknown): void {
    this.#failures++;
    this.#problem = `the storage failed: ${textOf(error)}`;
  }
}

async function noteName(key: string, kind: NoteKind): Promise<string> {
  return `${await hashOf(key)}-${kind}`;
}

function hashOf(text: string): Promise<string | undefined> {
  return hexSha256(new TextEncoder().encode(text));
}

function splitOnce(text: string, separator: string): string[] {
  const place = text.indexOf(separator);
  return place < 0 ? [text] : [text.slice(0, place), text.slice(place + 1)];
}

function nameOf(sha256: string, bytes: number): string {
  return `${sha256}-${bytes}`;
}

function sumOf(entries: ShelfEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

function textOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** What the browser allows the page's origin in all, as far as it says. */
async function quota(): Promise<number | null> {
  try {
    return (await navigator.storage.estimate()).quota ?? null;
  } catch {
    return null;
  }
}

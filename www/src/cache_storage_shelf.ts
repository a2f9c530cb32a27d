// The browser's Cache Storage as a shelf: one entry for each page, the same for all tabs of an origin, in pages and in
// workers. benches/record says why not the others.

import type { Shelf, ShelfEntry } from "./shelf.ts";

const CACHE_NAME = "gander-1";

/** Keys have to be URLs. Nobody ever fetches from this one: no name ends in `.invalid`. */
const PREFIX = "https://gander.invalid/";

/** Cache Storage keeps no times, so one entry holds them for all others. Its loss costs nothing but their order. */
const USES = "last-uses";

export class CacheStorageShelf implements Shelf {
  readonly kind = "browser";
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** @throws whatever the browser throws where storage is forbidden */
  static async open(): Promise<CacheStorageShelf> {
    return new CacheStorageShelf(await caches.open(CACHE_NAME));
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await this.#cache.match(PREFIX + name);
    return response && new Uint8Array(await response.arrayBuffer());
  }

  async write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#cache.put(PREFIX + name, new Response(bytes));
  }

  async remove(name: string): Promise<void> {
    await this.#cache.delete(PREFIX + name);
  }

  async list(): Promise<ShelfEntry[]> {
    const [requests, uses] = await Promise.all([this.#cache.keys(), this.#uses()]);
    return requests
      .map((request) => request.url.slice(PREFIX.length))
      .filter((name) => name !== USES)
      .map((name) => ({ name, bytes: sizeIn(name), lastUse: uses[name] ?? 0 }));
  }

  async touch(uses: ReadonlyMap<string, number>): Promise<void> {
    const [requests, known] = await Promise.all([this.#cache.keys(), this.#uses()]);
    const names = new Set(requests.map((request) => request.url.slice(PREFIX.length)));
    const all = { ...known, ...Object.fromEntries(uses) };
    const kept = Object.entries(all).filter(([name]) => names.has(name));
    await this.write(USES, new TextEncoder().encode(JSON.stringify(Object.fromEntries(kept))));
  }

  async clear(): Promise<void> {
    const requests = await this.#cache.keys();
    await Promise.all(requests.map((request) => this.#cache.delete(request)));
  }

  async #uses(): Promise<Record<string, number>> {
    const bytes = await this.read(USES);
    try {
      return bytes ? JSON.parse(new TextDecoder().decode(bytes)) : {};
    } catch {
      return {};
    }
  }
}

/** To look into hundreds of entries for their sizes would take a second, so a page's name ends in its size. */
function sizeIn(name: string): number {
  return Number(/-(\d+)$/.exec(name)?.[1] ?? 0);
}

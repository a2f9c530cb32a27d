// What a persistent cache stands on: named bytes, kept as long as whatever keeps them likes to.

/** What is kept under one name. */
export interface ShelfEntry {
  name: string;
  bytes: number;
  /** Milliseconds since 1970; 0 where nobody knows. */
  lastUse: number;
}

/** Names are letters, digits and hyphens. Any call may fail: shelves are full, forbidden, or taken away. */
export interface Shelf {
  readonly kind: "browser" | "disk" | "memory";
  /** Undefined where there is nothing of that name. */
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Wholly or not at all, whoever else writes the same. */
  write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  remove(name: string): Promise<void>;
  list(): Promise<ShelfEntry[]>;
  /** Notes when entries were last of use. */
  touch(uses: ReadonlyMap<string, number>): Promise<void>;
  clear(): Promise<void>;
}

/** Keeps pages as long as the model lives: for browsers that forbid more, and for those who want no more. */
export class MemoryShelf implements Shelf {
  readonly kind = "memory";
  readonly #entries = new Map<string, { content: Uint8Array<ArrayBuffer>; lastUse: number }>();

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#entries.get(name)?.content;
  }

  async write(name: string, content: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#entries.set(name, { content, lastUse: Date.now() });
  }

  async remove(name: string): Promise<void> {
    this.#entries.delete(name);
  }

  async list(): Promise<ShelfEntry[]> {
    return [...this.#entries].map(([name, { content, lastUse }]) => ({
      name,
      bytes: content.length,
      lastUse,
    }));
  }

  async touch(uses: ReadonlyMap<string, number>): Promise<void> {
    for (const [name, lastUse] of uses) {
      const entry = this.#entries.get(name);
      if (entry) entry.lastUse = lastUse;
    }
  }

  async clear(): Promise<void> {
    this.#entries.clear();
  }
}

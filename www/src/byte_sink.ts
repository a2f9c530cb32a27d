// Bytes in one piece, in memory that is allocated once where the size is known beforehand.

import { GanderError } from "./errors.ts";

export class ByteSink {
  length = 0;
  #buffer = new Uint8Array(0);

  /** @throws GanderError `out-of-memory`, blamed on `place`: a server may announce anything. */
  reserve(capacity: number, place: string): void {
    if (capacity <= this.#buffer.length) return;
    try {
      const grown = new Uint8Array(capacity);
      grown.set(this.#buffer.subarray(0, this.length));
      this.#buffer = grown;
    } catch (cause) {
      throw new GanderError("out-of-memory", place, `it needs ${capacity} bytes`, "as much free memory", {
        cause,
      });
    }
  }

  append(chunk: Uint8Array, place: string): void {
    const needed = this.length + chunk.length;
    if (needed > this.#buffer.length) this.reserve(Math.max(needed, 2 * this.#buffer.length), place);
    this.#buffer.set(chunk, this.length);
    this.length = needed;
  }

  /** The bytes from `start` to `end`, not copied. */
  bytes(start = 0, end = this.length): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(start, Math.min(end, this.length));
  }

  /** Forgets the bytes, and keeps the memory. */
  clear(): void {
    this.length = 0;
  }
}

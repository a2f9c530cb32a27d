// What came over the network while something was done, and when. Knows nothing of the page.

import type { Progress } from "gander";

/** One download: a file, or the pages that one run of the model was missing. */
export interface Transfer {
  /** File, or the ids of the pages' experts. */
  what: string[];
  phase: Progress["phase"];
  /** Milliseconds since the record began. */
  start: number;
  end: number;
  bytes: number;
  isComplete: boolean;
}

export class CostRecord {
  readonly transfers: Transfer[] = [];
  /** When each token came, in milliseconds since the record began. */
  readonly tokens: number[] = [];
  readonly #now: () => number;
  readonly #begin: number;
  readonly #open = new Map<string, Transfer>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#begin = now();
  }

  get milliseconds(): number {
    return this.#now() - this.#begin;
  }

  token(): void {
    this.tokens.push(this.milliseconds);
  }

  /** Reports of one file belong together, from its first until it is there. Pages of the same experts may come again. */
  report({ phase, file, loaded, total }: Progress): void {
    const key = `${phase} ${file}`;
    const time = this.milliseconds;
    let transfer = this.#open.get(key);
    if (!transfer) {
      const what = phase === "pages" ? file.split(", ") : [file];
      transfer = { what, phase, start: time, end: time, bytes: 0, isComplete: false };
      this.transfers.push(transfer);
      this.#open.set(key, transfer);
    }
    transfer.end = time;
    transfer.bytes = loaded;
    transfer.isComplete = total !== null && loaded >= total;
    if (transfer.isComplete) this.#open.delete(key);
  }
}

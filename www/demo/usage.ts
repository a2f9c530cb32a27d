// How often each expert was chosen on this page, from the routing of its answers. Kept in this browser.

import { transact } from "./database.ts";
import type { Share } from "./shares.ts";

interface Counts {
  answers: number;
  /** Each expert's shares, summed over the answers. */
  shares: Map<string, number>;
}

export class Usage {
  #catalogue = "";
  #counts: Counts = { answers: 0, shares: new Map() };

  /** Reads what earlier visits saw of a catalogue. Where nothing can be kept, it begins with nothing. */
  async open(catalogue: string): Promise<void> {
    this.#catalogue = catalogue;
    this.#counts = { answers: 0, shares: new Map() };
    const kept = await transact<Counts | undefined>(["usage"], "readonly", (storeOf) =>
      storeOf("usage").get(catalogue),
    ).catch(() => undefined);
    if (kept) this.#counts = kept;
  }

  get answers(): number {
    return this.#counts.answers;
  }

  /** An expert's mean share over all answers, from 0 to 1. */
  shareOf = (expert: string): number =>
    this.#counts.answers === 0 ? 0 : (this.#counts.shares.get(expert) ?? 0) / this.#counts.answers;

  add(shares: readonly Share[]): void {
    if (shares.length === 0) return;
    this.#counts.answers++;
    for (const { expert, share } of shares) {
      this.#counts.shares.set(expert, (this.#counts.shares.get(expert) ?? 0) + share);
    }
    transact(["usage"], "readwrite", (storeOf) => storeOf("usage").put(this.#counts, this.#catalogue)).catch(
      () => {},
    );
  }
}

// How much may be fetched: what a budget has left, page by page.

import { GanderError } from "./errors.ts";
import type { Budget } from "./types.ts";

/** A page as a budget sees it. */
export interface Priced {
  expert: string;
  bytes: number;
}

/** Refuses what cannot be a budget. `option` is its name. */
export function checkBudget(option: string, budget: Budget | undefined): void {
  for (const [name, most] of Object.entries(budget ?? {})) {
    if (name !== "bytes" && name !== "experts") {
      throw new GanderError(
        "invalid-option",
        `${option}.${name}`,
        "there is no such budget",
        "bytes, experts",
      );
    }
    if (most !== undefined && !(typeof most === "number" && most >= 0)) {
      throw new GanderError("invalid-option", `${option}.${name}`, String(most), "a number from 0");
    }
  }
}

/** What is left of a budget. */
export class Purse {
  /** Whether anything is too much for it. */
  readonly isLimited: boolean;
  #bytes: number;
  readonly #mostExperts: number;
  readonly #experts = new Set<string>();

  constructor(budget: Budget | undefined) {
    this.isLimited = budget?.bytes !== undefined || budget?.experts !== undefined;
    this.#bytes = budget?.bytes ?? Number.POSITIVE_INFINITY;
    this.#mostExperts = budget?.experts ?? Number.POSITIVE_INFINITY;
  }

  /** Whether the page may still be fetched. */
  affords({ expert, bytes }: Priced): boolean {
    return bytes <= this.#bytes && (this.#experts.has(expert) || this.#experts.size < this.#mostExperts);
  }

  /** The page is fetched, or is about to be. */
  pay({ expert, bytes }: Priced): void {
    this.#bytes -= bytes;
    this.#experts.add(expert);
  }
}

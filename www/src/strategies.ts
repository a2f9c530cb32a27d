// Ways of choosing experts, by name.

import type { GenerateOptions } from "./types.ts";

/** Those that need no expert's id behind them. */
type Named = Exclude<NonNullable<GenerateOptions["strategy"]>, `single:${string}`>;

/** An object, so that the compiler asks for every name. */
const named: Record<Named, true> = { phatgoose: true, none: true };

/** The names that `strategy` takes, to be offered to people. */
export const strategies = Object.keys(named) as readonly Named[];

// Ways of choosing experts, by name.

import type { GenerateOptions } from "./types.ts";

/** What `strategy` takes, but for those that have an expert's id behind them. */
export type StrategyName = Exclude<NonNullable<GenerateOptions["strategy"]>, `single:${string}`>;

/** An object, so that the compiler asks for every name. */
const named: Record<StrategyName, true> = {
  phatgoose: true,
  gated: true,
  "average-activation": true,
  arrow: true,
  spectr: true,
  random: true,
  merged: true,
  retrieval: true,
  none: true,
};

/** The names that `strategy` takes, to be offered to people. */
export const strategies = Object.keys(named) as readonly StrategyName[];

// Ways of choosing experts, by name.

import type { GenerateOptions } from "./types.ts";

/** The names that `strategy` takes. */
export const strategies = ["phatgoose", "none"] as const satisfies readonly NonNullable<
  GenerateOptions["strategy"]
>[];

// Routing as the engine tells it: numbers, for one token of the output, or for all of the input.

import type { RoutedChoice } from "./types.ts";

/** The same tokens on every module. */
export interface PackedRouting {
  /** One to a line. */
  modules: string;
  firstToken: number;
  tokens: number;
  topK: number;
  /** How many experts behind the chosen are told. */
  runnersUp: number;
  /**
   * (modules, tokens, topK + runnersUp): the expert's place among all of the model, or {@link noPlace}; the chosen, then the
   * runners-up.
   */
  choices: ArrayLike<number>;
  /** (modules, tokens, topK + runnersUp): of a runner-up, what it would have had beside the chosen. */
  weights: ArrayLike<number>;
}

/** Stands in `choices` where fewer than `topK` experts serve a token. */
export const noPlace = 0xffffffff;

/** @param experts ids by place */
export function unpackRouting(packed: PackedRouting, experts: readonly string[]): RoutedChoice[] {
  const { firstToken, tokens, topK, runnersUp } = packed;
  const choices = Array.from(packed.choices);
  const weights = Array.from(packed.weights);
  return packed.modules.split("\n").flatMap((module, row) =>
    Array.from({ length: tokens }, (_, token) => {
      const start = (row * tokens + token) * (topK + runnersUp);
      // Those that are there come first.
      const places = choices.slice(start, start + topK).filter((place) => place !== noPlace);
      return {
        module,
        token: firstToken + token,
        experts: places.map((place) => experts[place] ?? ""),
        weights: weights.slice(start, start + places.length),
      };
    }),
  );
}

/** @param placeOf numbers the ids */
export function packChoice(choice: RoutedChoice, placeOf: (expert: string) => number): PackedRouting {
  const { module, token, experts, weights } = choice;
  const topK = experts.length;
  const choices = experts.map(placeOf);
  return { modules: module, firstToken: token, tokens: 1, topK, runnersUp: 0, choices, weights };
}

// Routing as the engine tells it: numbers, for one token of the output, or for all of the input.

import type { RoutedChoice } from "./types.ts";

/** The same tokens on every module, as it crosses from the engine and between threads: every part more costs each token. */
export interface PackedRouting {
  /** One to a line. */
  modules: string;
  /** {@link readRouting} says what they are. */
  words: Uint32Array;
}

/** What its words begin with. */
export interface RoutingHead {
  firstToken: number;
  tokens: number;
  topK: number;
  /** How many experts behind the chosen are told. */
  runnersUp: number;
}

/** What the words are. */
export interface ReadRouting extends RoutingHead {
  /**
   * (modules, tokens, topK + runnersUp): the expert's place among all of the model, or {@link noPlace}; the chosen, then the
   * runners-up.
   */
  choices: Uint32Array;
  /** (modules, tokens, topK + runnersUp): of a runner-up, what it would have had beside the chosen. */
  weights: Float32Array;
}

/** Stands in `choices` where fewer than `topK` experts serve a token. */
export const noPlace = 0xffffffff;

/** Words before the choices. */
export const HEAD = 4;

export function headOf({ words }: PackedRouting): RoutingHead {
  return { firstToken: words[0] ?? 0, tokens: words[1] ?? 0, topK: words[2] ?? 0, runnersUp: words[3] ?? 0 };
}

/** How many choices there are, behind which come as many weights. */
export function cellsOf({ words }: PackedRouting): number {
  return (words.length - HEAD) / 2;
}

export function readRouting(packed: PackedRouting): ReadRouting {
  const { words } = packed;
  const cells = cellsOf(packed);
  const choices = words.subarray(HEAD, HEAD + cells);
  const weights = new Float32Array(words.buffer, words.byteOffset + 4 * (HEAD + cells), cells);
  return { ...headOf(packed), choices, weights };
}

/** For another thread: posting a part of an array posts all of it. */
export function cutOut<Routed extends { routing?: PackedRouting }>(routed: Routed): Routed {
  const { routing } = routed;
  return routing ? { ...routed, routing: { ...routing, words: routing.words.slice() } } : routed;
}

type Written = Omit<ReadRouting, "choices" | "weights"> & { choices: number[]; weights: number[] };

export function packRouting(modules: readonly string[], routing: Written): PackedRouting {
  const { firstToken, tokens, topK, runnersUp, choices, weights } = routing;
  const bits = new Uint32Array(Float32Array.from(weights).buffer);
  const words = Uint32Array.from([firstToken, tokens, topK, runnersUp, ...choices, ...bits]);
  return { modules: modules.join("\n"), words };
}

/** @param experts ids by place */
export function unpackRouting(packed: PackedRouting, experts: readonly string[]): RoutedChoice[] {
  const { firstToken, tokens, topK, runnersUp, ...read } = readRouting(packed);
  const choices = Array.from(read.choices);
  const weights = Array.from(read.weights);
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
  const choices = experts.map(placeOf);
  const topK = choices.length;
  return packRouting([module], { firstToken: token, tokens: 1, topK, runnersUp: 0, choices, weights });
}

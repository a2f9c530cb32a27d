// The routing of an answer as numbers: small enough to post, to keep and to draw.

import { readsInput } from "./layers.ts";
import type { RoutedChoice } from "./types.ts";

/** A token of the input or of the output. */
export interface TracedToken {
  id: number;
  /** What it adds to the text: empty for an end token; null where nobody could say. */
  text: string | null;
}

/** Stands in `choices` where fewer than `topK` experts serve a token. */
export const noExpert = 0xffff;

/** The choices of some layers for some tokens. */
export interface TableData {
  /** The layers, as Hugging Face names them, in the order in which they compute. */
  modules: readonly string[];
  tokens: readonly TracedToken[];
  /** How many experts serve a token in one layer at most. */
  topK: number;
  /** (tokens, modules, topK): index into the trace's experts, best first, or {@link noExpert}. */
  choices: Uint16Array;
  /** (tokens, modules, topK): their weights, which sum to 1 where there is an expert; 0 where there is none. */
  weights: Float32Array;
}

export interface TraceData {
  /** Ids of the experts that were chosen anywhere, in the order of their first choice. */
  experts: readonly string[];
  /** The encoder's layers, and the cross-attention's keys and values, over the tokens of the input. */
  input: TableData;
  /** The decoder's other layers over the tokens of the output. */
  output: TableData;
}

/** Packs choices in any order. Those for tokens that are not given are left out. */
export function packTrace(
  choices: readonly RoutedChoice[],
  inputTokens: readonly TracedToken[],
  outputTokens: readonly TracedToken[],
): TraceData {
  const experts = new Names();
  const ofInput = choices.filter(({ module }) => readsInput(module));
  const ofOutput = choices.filter(({ module }) => !readsInput(module));
  const input = packTable(ofInput, inputTokens, experts);
  const output = packTable(ofOutput, outputTokens, experts);
  return { experts: experts.list, input, output };
}

function packTable(
  choices: readonly RoutedChoice[],
  tokens: readonly TracedToken[],
  experts: Names,
): TableData {
  const modules = new Names();
  let topK = 0;
  for (const choice of choices) {
    modules.indexOf(choice.module);
    topK = Math.max(topK, choice.experts.length);
  }
  const moduleCount = modules.list.length;
  const cells = tokens.length * moduleCount * topK;
  const chosen = new Uint16Array(cells).fill(noExpert);
  const weights = new Float32Array(cells);
  for (const choice of choices) {
    if (choice.token >= tokens.length) continue;
    const start = (choice.token * moduleCount + modules.indexOf(choice.module)) * topK;
    for (const [slot, expert] of choice.experts.entries()) {
      chosen[start + slot] = experts.indexOf(expert);
      weights[start + slot] = choice.weights[slot] ?? 0;
    }
  }
  return { modules: modules.list, tokens, topK, choices: chosen, weights };
}

/** Numbers names in the order in which they come. */
class Names {
  readonly list: string[] = [];
  readonly #indices = new Map<string, number>();

  indexOf(name: string): number {
    const known = this.#indices.get(name);
    if (known !== undefined) return known;
    this.#indices.set(name, this.list.length);
    return this.list.push(name) - 1;
  }
}

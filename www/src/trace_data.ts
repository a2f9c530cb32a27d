// The routing of an answer as numbers: small enough to post, to keep and to draw.

import { readsInput } from "./layers.ts";
import { Numbering } from "./numbering.ts";
import { noPlace, type PackedRouting, type ReadRouting, readRouting } from "./packed_routing.ts";

/** A token of the input or of the output. */
export interface TracedToken {
  id: number;
  /** What it adds to the text: empty for an end token; null where nobody could say. */
  text: string | null;
}

/** 65535: stands in `choices` where fewer than `topK` experts serve a token. */
export const noExpert = 0xffff;

/** The choices of some layers for some tokens. */
export interface TableData {
  /** The layers, as Hugging Face names them, in the order in which they compute. */
  modules: readonly string[];
  tokens: readonly TracedToken[];
  /** How many experts serve a token in one layer at most. */
  topK: number;
  /** (tokens, modules, topK): index into the trace's experts, best first, or 65535 for none. */
  choices: Uint16Array;
  /** (tokens, modules, topK): their weights, which sum to 1 where there is an expert (of `gated`, to less); 0 where there is none. */
  weights: Float32Array;
  /** How many experts behind the chosen are known of a cell at most. Left out: none. */
  runnersUp?: number;
  /** (tokens, modules, runnersUp): who would have been next, as in `choices`. */
  nextChoices?: Uint16Array;
  /** (tokens, modules, runnersUp): the weight of each, had it been let in beside the chosen, to within two hundredths of it. */
  nextWeights?: Float32Array;
}

/** A trace as plain data: it can be posted, and stored as it is. */
export interface TraceData {
  /** Ids of the experts that were chosen anywhere, in the order of their first choice; then of those that were next. */
  experts: readonly string[];
  /** The encoder's layers, and the cross-attention's keys and values, over the tokens of the input. */
  input: TableData;
  /** The decoder's other layers over the tokens of the output. */
  output: TableData;
}

/**
 * Puts parts in any order together. What is for tokens that are not given is left out.
 * @param ids of the experts, by their places
 */
export function packTrace(
  parts: readonly PackedRouting[],
  ids: readonly string[],
  inputTokens: readonly TracedToken[],
  outputTokens: readonly TracedToken[],
): TraceData {
  const experts = new Experts(ids);
  const read = parts.map((part) => ({ modules: part.modules, ...readRouting(part) }));
  const input = packTable(read, readsInput, inputTokens, experts);
  const output = packTable(read, (module) => !readsInput(module), outputTokens, experts);
  // Those that were chosen anywhere have the first numbers.
  return { experts: experts.list, input: withNext(input, experts), output: withNext(output, experts) };
}

/** The experts of a trace, numbered in the order in which they come. */
class Experts {
  readonly list: string[] = [];
  readonly #ids: readonly string[];
  /** By place. */
  readonly #numbers: Uint16Array;

  constructor(ids: readonly string[]) {
    this.#ids = ids;
    this.#numbers = new Uint16Array(ids.length).fill(noExpert);
  }

  numberOf(place: number): number {
    // To read behind the end of an array takes long.
    if (place >= this.#ids.length) return noExpert;
    const known = this.#numbers[place] ?? noExpert;
    if (known !== noExpert) return known;
    const number = this.list.push(this.#ids[place] ?? "") - 1;
    this.#numbers[place] = number;
    return number;
  }
}

/** A table, and the places of those who would have been next. */
interface Packed {
  table: TableData;
  next: { count: number; places: Uint32Array; weights: Float32Array };
}

function withNext({ table, next }: Packed, experts: Experts): TableData {
  if (next.count === 0) return table;
  const nextChoices = new Uint16Array(next.places.length);
  for (let slot = 0; slot < nextChoices.length; slot++) {
    nextChoices[slot] = experts.numberOf(next.places[slot] ?? noPlace);
  }
  return { ...table, runnersUp: next.count, nextChoices, nextWeights: next.weights };
}

function packTable(
  parts: readonly (ReadRouting & { modules: string })[],
  isWanted: (module: string) => boolean,
  tokens: readonly TracedToken[],
  experts: Experts,
): Packed {
  const modules = new Numbering<string>();
  /** Where the modules of a part go, by their names: nearly all parts have the same. */
  const known = new Map<string, (number | null)[]>();
  let topK = 0;
  let runnersUp = 0;
  for (const part of parts) {
    const columns =
      known.get(part.modules) ??
      part.modules.split("\n").map((module) => (isWanted(module) ? modules.numberOf(module) : null));
    known.set(part.modules, columns);
    if (columns.every((column) => column === null)) continue;
    topK = Math.max(topK, part.topK);
    runnersUp = Math.max(runnersUp, part.runnersUp);
  }
  const moduleCount = modules.list.length;
  const cells = tokens.length * moduleCount;
  const choices = new Uint16Array(cells * topK).fill(noExpert);
  const weights = new Float32Array(choices.length);
  const places = new Uint32Array(cells * runnersUp).fill(noPlace);
  const nextWeights = new Float32Array(places.length);
  for (const part of parts) {
    const columns = known.get(part.modules) ?? [];
    const tokenCount = Math.min(part.tokens, tokens.length - part.firstToken);
    const told = part.topK + part.runnersUp;
    for (let row = 0; row < columns.length; row++) {
      const column = columns[row] ?? null;
      if (column === null) continue;
      let from = row * part.tokens * told;
      let cell = part.firstToken * moduleCount + column;
      for (let token = 0; token < tokenCount; token++) {
        for (let slot = 0; slot < part.topK; slot++) {
          const place = part.choices[from + slot] ?? noPlace;
          if (place === noPlace) break;
          choices[cell * topK + slot] = experts.numberOf(place);
          weights[cell * topK + slot] = part.weights[from + slot] ?? 0;
        }
        for (let slot = 0; slot < part.runnersUp; slot++) {
          const at = from + part.topK + slot;
          places[cell * runnersUp + slot] = part.choices[at] ?? noPlace;
          nextWeights[cell * runnersUp + slot] = part.weights[at] ?? 0;
        }
        from += told;
        cell += moduleCount;
      }
    }
  }
  const table = { modules: modules.list, tokens, topK, choices, weights };
  return { table, next: { count: runnersUp, places, weights: nextWeights } };
}

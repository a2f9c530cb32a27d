// The routing of an answer as numbers: small enough to post, to keep and to draw.

import { readsInput } from "./layers.ts";
import { Numbering } from "./numbering.ts";
import { cellsOf, HEAD, headOf, type PackedRouting, type RoutingHead } from "./packed_routing.ts";

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
  const input = layOut(parts, true, inputTokens);
  const output = layOut(parts, false, outputTokens);
  // Those that were chosen anywhere have the first numbers.
  const [ofInput, ofOutput] = [chosen(input, experts), chosen(output, experts)];
  return {
    experts: experts.list,
    input: { ...ofInput, ...next(input, experts) },
    output: { ...ofOutput, ...next(output, experts) },
  };
}

/** The experts of a trace, numbered in the order in which they come. */
class Experts {
  readonly list: string[] = [];
  /** By place; {@link noExpert} where it has not come yet. */
  readonly numbers: Uint16Array;
  readonly #ids: readonly string[];

  constructor(ids: readonly string[]) {
    this.#ids = ids;
    this.numbers = new Uint16Array(ids.length).fill(noExpert);
  }

  /** Of one that has no number yet. */
  add(place: number): number {
    const id = this.#ids[place];
    if (id === undefined) return noExpert;
    const number = this.list.push(id) - 1;
    this.numbers[place] = number;
    return number;
  }
}

/** A part of a table, and for each of its modules the table's column, or -1 where it is in none. */
interface PlacedPart {
  head: RoutingHead;
  words: Uint32Array;
  /** How far behind a choice its weight is. */
  toWeight: number;
  columns: readonly number[];
}

/** What a table is made of. */
interface Layout {
  modules: readonly string[];
  tokens: readonly TracedToken[];
  topK: number;
  runnersUp: number;
  parts: PlacedPart[];
}

function layOut(parts: readonly PackedRouting[], ofInput: boolean, tokens: readonly TracedToken[]): Layout {
  const modules = new Numbering<string>();
  const layout: Layout = { modules: modules.list, tokens, topK: 0, runnersUp: 0, parts: [] };
  // Nearly all parts have the same modules.
  let names: string | undefined;
  let columns: number[] = [];
  let isEmpty = true;
  for (const part of parts) {
    if (part.modules !== names) {
      names = part.modules;
      columns = names
        .split("\n")
        .map((module) => (readsInput(module) === ofInput ? modules.numberOf(module) : -1));
      isEmpty = columns.every((column) => column < 0);
    }
    if (isEmpty) continue;
    const head = headOf(part);
    layout.topK = Math.max(layout.topK, head.topK);
    layout.runnersUp = Math.max(layout.runnersUp, head.runnersUp);
    layout.parts.push({ head, words: part.words, toWeight: cellsOf(part), columns });
  }
  return layout;
}

function chosen(layout: Layout, experts: Experts): TableData {
  const { modules, tokens, topK } = layout;
  return { modules, tokens, topK, ...fill(layout, topK, false, experts) };
}

function next(
  layout: Layout,
  experts: Experts,
): Pick<TableData, "runnersUp" | "nextChoices" | "nextWeights"> {
  const { runnersUp } = layout;
  if (runnersUp === 0) return {};
  const { choices, weights } = fill(layout, runnersUp, true, experts);
  return { runnersUp, nextChoices: choices, nextWeights: weights };
}

/** The chosen of all cells, `width` each, or those behind them. */
function fill(
  { modules, tokens, parts }: Layout,
  width: number,
  isNext: boolean,
  experts: Experts,
): Pick<TableData, "choices" | "weights"> {
  const rowWidth = modules.length * width;
  const choices = new Uint16Array(tokens.length * rowWidth).fill(noExpert);
  const weights = new Float32Array(choices.length);
  // As the bits that they are in a part: a view of each part's weights would cost more than all that is done with them.
  const bits = new Uint32Array(weights.buffer);
  const { numbers } = experts;
  for (const { head, words, toWeight, columns } of parts) {
    const told = head.topK + head.runnersUp;
    const first = HEAD + (isNext ? head.topK : 0);
    const count = isNext ? head.runnersUp : head.topK;
    const tokenCount = Math.min(head.tokens, tokens.length - head.firstToken);
    for (let row = 0; row < columns.length; row++) {
      const column = columns[row] as number;
      if (column < 0) continue;
      let from = first + row * head.tokens * told;
      let to = head.firstToken * rowWidth + column * width;
      for (let token = 0; token < tokenCount; token++) {
        for (let slot = 0; slot < count; slot++) {
          const place = words[from + slot] as number;
          // Those that are there come first. To read behind the end of an array takes long.
          if (place >= numbers.length) break;
          const number = numbers[place] as number;
          choices[to + slot] = number === noExpert ? experts.add(place) : number;
          bits[to + slot] = words[from + slot + toWeight] as number;
        }
        from += told;
        to += rowWidth;
      }
    }
  }
  return { choices, weights };
}

// The routing of some layers for some tokens: tokens down, layers across, up to topK experts in a cell.

import { noExpert, type TableData, type TracedToken } from "./trace_data.ts";

/** An expert in one cell. The weights of the chosen sum to 1; of `gated`, to less. */
export interface ExpertWeight {
  expert: string;
  weight: number;
}

/** An expert's part of the routed weight of several cells. The parts sum to 1. */
export interface ExpertShare {
  expert: string;
  share: number;
}

/** Which cells: those of these tokens and these modules, by index. Left out: all of them. */
export interface Selection {
  tokens?: Iterable<number>;
  modules?: Iterable<number>;
}

/** One expert's share of every token and of every module. */
export interface ExpertUse {
  /** Of the whole table. */
  share: number;
  byToken: Float32Array;
  byModule: Float32Array;
}

/** The choices of some layers for some tokens. */
export class RoutingTable implements TableData {
  /** Ids, which `choices` counts by. Shared by both tables of a trace. */
  readonly experts: readonly string[];
  readonly modules: readonly string[];
  readonly tokens: readonly TracedToken[];
  readonly topK: number;
  readonly choices: Uint16Array;
  readonly weights: Float32Array;
  readonly runnersUp: number;
  readonly nextChoices: Uint16Array;
  readonly nextWeights: Float32Array;

  constructor(experts: readonly string[], data: TableData) {
    this.experts = experts;
    this.modules = data.modules;
    this.tokens = data.tokens;
    this.topK = data.topK;
    this.choices = data.choices;
    this.weights = data.weights;
    this.runnersUp = data.runnersUp ?? 0;
    this.nextChoices = data.nextChoices ?? new Uint16Array();
    this.nextWeights = data.nextWeights ?? new Float32Array();
  }

  /** The experts of one cell, best first; none where the base computes alone. */
  at(token: number, module: number): ExpertWeight[] {
    return this.#told(token, module, this.topK, this.choices, this.weights);
  }

  /**
   * The experts that came next in one cell and were not chosen, best first, each with the weight that it would have had beside the
   * chosen: how near it was. None where the layer has no more experts, or the trace was read from choices alone.
   */
  runnersUpAt(token: number, module: number): ExpertWeight[] {
    return this.#told(token, module, this.runnersUp, this.nextChoices, this.nextWeights);
  }

  /** Index of a cell's best expert; -1 where the base computes alone. */
  bestAt(token: number, module: number): number {
    const best =
      this.topK === 0 ? noExpert : (this.choices[this.#cell(token, module) * this.topK] ?? noExpert);
    return best === noExpert ? -1 : best;
  }

  /** The routed weight of each expert, by index. */
  sums(selection: Selection = {}): Float64Array {
    const sums = new Float64Array(this.experts.length);
    const modules = [...(selection.modules ?? this.modules.keys())];
    for (const token of selection.tokens ?? this.tokens.keys()) {
      for (const module of modules) {
        const start = this.#cell(token, module) * this.topK;
        for (let slot = start; slot < start + this.topK; slot++) {
          const expert = this.choices[slot] ?? noExpert;
          if (expert !== noExpert) sums[expert] = (sums[expert] ?? 0) + (this.weights[slot] ?? 0);
        }
      }
    }
    return sums;
  }

  /** Shares of the experts that have one, largest first; equal ones in the order of `experts`. */
  shares(selection: Selection = {}): ExpertShare[] {
    const sums = this.sums(selection);
    const total = sums.reduce((sum, weight) => sum + weight, 0);
    return [...sums.entries()]
      .filter(([, weight]) => weight > 0)
      .map(([index, weight]) => ({ expert: this.experts[index] ?? "", share: weight / total }))
      .sort((a, b) => b.share - a.share);
  }

  /** One token's shares over all layers. */
  byToken(token: number): ExpertShare[] {
    return this.shares({ tokens: [token] });
  }

  /** One layer's shares over all tokens. */
  byModule(module: number): ExpertShare[] {
    return this.shares({ modules: [module] });
  }

  /** One expert's share everywhere; 0 everywhere for one that was never chosen. */
  byExpert(expert: string): ExpertUse {
    const shareIn = (selection: Selection) =>
      this.shares(selection).find((share) => share.expert === expert)?.share ?? 0;
    return {
      share: shareIn({}),
      byToken: Float32Array.from(this.tokens, (_, token) => shareIn({ tokens: [token] })),
      byModule: Float32Array.from(this.modules, (_, module) => shareIn({ modules: [module] })),
    };
  }

  /** How spread the shares are, in bits: 0 where one expert has everything, log2 n where n have the same. */
  entropy(selection: Selection = {}): number {
    return this.shares(selection).reduce((bits, { share }) => bits - share * Math.log2(share), 0);
  }

  #told(
    token: number,
    module: number,
    count: number,
    choices: Uint16Array,
    weights: Float32Array,
  ): ExpertWeight[] {
    const start = this.#cell(token, module) * count;
    const found: ExpertWeight[] = [];
    for (let slot = start; slot < start + count; slot++) {
      const expert = this.experts[choices[slot] ?? noExpert];
      if (expert !== undefined) found.push({ expert, weight: weights[slot] ?? 0 });
    }
    return found;
  }

  #cell(token: number, module: number): number {
    return token * this.modules.length + module;
  }
}

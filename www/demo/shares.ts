// How much each expert had to say. Pure arithmetic on the routing that the package reports.

import type { RoutedChoice } from "gander";

/** An expert's part of a whole; all parts sum to 1. */
export interface Share {
  expert: string;
  share: number;
}

/** Each expert's share of the routed weight over all `choices`, largest first. */
export function sharesOf(choices: readonly RoutedChoice[]): Share[] {
  const weights = new Map<string, number>();
  let total = 0;
  for (const choice of choices) {
    choice.experts.forEach((expert, index) => {
      const weight = choice.weights[index] ?? 0;
      weights.set(expert, (weights.get(expert) ?? 0) + weight);
      total += weight;
    });
  }
  return [...weights]
    .map(([expert, weight]) => ({ expert, share: total > 0 ? weight / total : 0 }))
    .sort((a, b) => b.share - a.share);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** "dates 62 %, times 20 %": the first few by name, the rest together. */
export function inWords(shares: readonly Share[], nameOf: (expert: string) => string, most = 4): string {
  const named = shares.slice(0, most).map(({ expert, share }) => `${nameOf(expert)} ${percent(share)}`);
  const rest = shares.slice(most).reduce((sum, { share }) => sum + share, 0);
  return [...named, ...(rest >= 0.005 ? [`others ${percent(rest)}`] : [])].join(", ");
}

/** Where in the model a choice was made. */
export interface Layer {
  block: number;
  /** `self q`, `cross k`, `feed forward wi_0`. */
  name: string;
}

/** `decoder.block.2.layer.1.EncDecAttention.k` is block 2, `cross k`. Unknown names stay as they are. */
export function layerOf(module: string): Layer {
  const match = /\.block\.(\d+)\.layer\.\d+\.(\w+)\.(\w+)$/.exec(module);
  if (!match) return { block: 0, name: module };
  const [, block, part, matrix] = match;
  const names: Record<string, string> = {
    SelfAttention: "self",
    EncDecAttention: "cross",
    DenseReluDense: "feed forward",
  };
  return { block: Number(block), name: `${names[part ?? ""] ?? part} ${matrix}` };
}

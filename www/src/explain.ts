// Who wrote what, in plain words.

import type { ExpertShare, RoutingTable } from "./routing_table.ts";

/** How an answer is put into words. */
export interface ExplainOptions {
  /** What an expert is called. Default: `the date expert` for the id `date`. */
  nameOf?: (expert: string) => string;
  /** What is never torn apart between experts. Default `word`: a word's tokens belong to who has most of the whole word. */
  by?: "word" | "token";
}

/** Consecutive tokens of the output that the same expert has the most of. */
export interface ExplainedPart {
  text: string;
  /** The tokens from `firstToken` up to, and without, `endToken`. */
  firstToken: number;
  endToken: number;
  /** Null where the base wrote alone. */
  expert: string | null;
  /** The expert's part of the routed weight of these tokens, over all layers. */
  share: number;
  /** The other experts, largest share first. */
  others: ExpertShare[];
  /** `the date expert wrote “2021-02-03”: 71 % of its routed weight` */
  sentence: string;
}

/** The output in parts, in its order. An end token, which writes nothing, belongs to none. */
export function explain(output: RoutingTable, options: ExplainOptions = {}): ExplainedPart[] {
  const { nameOf = (expert: string) => `the ${expert} expert`, by = "word" } = options;
  const runs: { firstToken: number; endToken: number; expert: string | null }[] = [];
  for (const [firstToken, endToken] of units(output, by)) {
    const expert = output.shares({ tokens: range(firstToken, endToken) })[0]?.expert ?? null;
    const last = runs.at(-1);
    if (last && last.expert === expert) last.endToken = endToken;
    else runs.push({ firstToken, endToken, expert });
  }
  return runs.map(({ firstToken, endToken, expert }) => {
    const shares = output.shares({ tokens: range(firstToken, endToken) });
    const share = shares.find((other) => other.expert === expert)?.share ?? 0;
    const others = shares.filter((other) => other.expert !== expert);
    const text = textOf(output, firstToken, endToken);
    const sentence = inWords(text, expert === null ? null : nameOf(expert), share);
    return { text, firstToken, endToken, expert, share, others, sentence };
  });
}

/** `71 %` */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function inWords(text: string, name: string | null, share: number): string {
  const quoted = `“${text.trim()}”`;
  if (name === null) return `the base model wrote ${quoted} alone`;
  // Who has less than half did not write it alone.
  return share < 0.5
    ? `${name} led ${quoted} with ${percent(share)} of its routed weight`
    : `${name} wrote ${quoted}: ${percent(share)} of its routed weight`;
}

function textOf(output: RoutingTable, firstToken: number, endToken: number): string {
  const tokens = output.tokens.slice(firstToken, endToken);
  return tokens.map(({ id, text }) => text ?? `[${id}]`).join("");
}

/** From where to where each word goes, or each token. Tokens that write nothing yet go with the one that then does. */
function* units(output: RoutingTable, by: "word" | "token"): Generator<[number, number]> {
  let start = 0;
  let end = 0;
  let written = "";
  for (const [token, { text }] of output.tokens.entries()) {
    if (text === "") continue;
    const beginsWord = text === null || /^\s/.test(text) || /\s$/.test(written);
    if (written.trim() !== "" && (by === "token" || beginsWord)) {
      yield [start, end];
      start = end;
      written = "";
    }
    written += text ?? "[]";
    end = token + 1;
  }
  if (end > start) yield [start, end];
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}

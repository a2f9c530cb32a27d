// What the users of the package see and write.

import type { RoutingTrace } from "./trace.ts";

/** Which experts one linear layer chose for one token, best first, with weights that sum to 1. */
export interface RoutedChoice {
  /** The layer, as Hugging Face names it: `decoder.block.0.layer.0.SelfAttention.q`. */
  module: string;
  /** The position: of the input for encoder modules, of the output for decoder modules. */
  token: number;
  experts: string[];
  weights: number[];
}

/** One output token, as soon as it is there. */
export interface Piece {
  /** What this token adds to the text; empty where several tokens make one character. */
  text: string;
  tokenId: number;
  /** Present where `trace` was asked for. */
  routing?: RoutedChoice[];
}

/** How the text ended: the model's own end token, `maxNewTokens`, or one of the `stop` strings. */
export type Finish = "eos" | "length" | "stop";

/** What one answer cost. */
export interface Stats {
  /** Output tokens. */
  tokens: number;
  milliseconds: number;
  /** Until the first output token, expert downloads included. */
  firstTokenMilliseconds: number;
  /** Runs of the model, those included that had to be repeated when expert pages were missing. */
  passes: number;
  /** Expert pages that the router chose, each counted once, and their size. */
  pagesWanted: number;
  bytesWanted: number;
  /** Those of them that had to be fetched for this answer, and their size. */
  pagesFetched: number;
  bytesFetched: number;
  /** Those of them that some token did without: absent with `onMiss: "skip"`, or beyond a budget. */
  pagesSkipped: number;
}

/** How likely one of several given answers is. */
export interface ChoiceScore {
  /** Its tokens, end token included. */
  ids: number[];
  /** `ln p(token | input, tokens before)` for each of them. */
  logLikelihoods: number[];
  /** Their sum: `ln p(answer | input)`. */
  logLikelihood: number;
  /** Their mean, which answers of different lengths are compared by. */
  perToken: number;
}

/** Given answers, ranked. */
export interface Scores {
  /** Index of the choice with the highest mean log-likelihood per token. */
  best: number;
  /** In the order in which they were given. */
  choices: ChoiceScore[];
}

/** The whole of one answer. */
export interface Answer {
  /** Null where the base has no tokenizer. */
  text: string | null;
  finish: Finish;
  inputIds: number[];
  outputIds: number[];
  /** Present where `trace` was asked for. */
  routing?: RoutingTrace;
  stats: Stats;
}

/** What is being loaded, in bytes. `total` is null as long as the server has not said. */
export interface Progress {
  /** `base`, `experts` (catalogue and gates), or `pages` (LoRA weights, while generating). */
  phase: "base" | "experts" | "pages";
  /** The last part of the URL, or the file's name. */
  file: string;
  loaded: number;
  total: number | null;
}

export type OnProgress = (progress: Progress) => void;

/** One expert as its catalogue describes it. */
export interface Expert {
  id: string;
  title: string;
  description: string;
  licence: string;
  tags: string[];
  source: string;
  evaluation: Record<string, unknown>;
  /** The size of all its LoRA weights. They are fetched page by page, only when the router asks for them. */
  bytes: number;
  pages: number;
}

/** What is known of the loaded base model. */
export interface Base {
  name: string;
  fingerprint: string;
  vocabSize: number;
  encoderBlocks: number;
  decoderBlocks: number;
  hasTokenizer: boolean;
}

/**
 * Where to compute. `webgpu` takes any adapter there is, and fails where none computes rightly; `cpu` needs none;
 * `webgpu+cpu` reads the input on the one and writes the answer on the other. `auto` takes WebGPU for what it is faster at
 * in a trial of some tenths of a second, if there is a real GPU that computes rightly, and the CPU for the rest.
 */
export type DeviceName = "auto" | "webgpu" | "cpu" | "webgpu+cpu";

/** Where a model computes. */
export interface LoadedDevice {
  name: "webgpu" | "cpu" | "webgpu+cpu";
  /** Why there, for people: `asked for`, what a trial took, or what is wrong with the GPU. */
  reason: string;
  /** The GPU, as far as the browser names it. */
  adapter: string | null;
}

/** How much may be fetched. What is in the cache already costs nothing. */
export interface Budget {
  /** Bytes of expert pages. Default: no limit. */
  bytes?: number;
  /** Experts of which pages are fetched. Default: no limit. */
  experts?: number;
}

export interface LoadOptions {
  /** URL of a GGUF file, or of a Hugging Face folder (anything that does not end in `.gguf`); or the GGUF itself. */
  base: string | URL | Blob | ArrayBuffer;
  /** URL of a `catalog.json`. Without it the base answers alone. */
  experts?: string | URL;
  /** Default `auto`. */
  device?: DeviceName;
  onProgress?: OnProgress;
  /** For all answers of this model together. What goes beyond it is done without, as with `onMiss: "skip"`. */
  budget?: Budget;
  /** Stops the loading. */
  signal?: AbortSignal;
  /** Runs in the caller's own thread instead of a worker. Where there are no workers (Node) this is always so. */
  inline?: boolean;
  /** Where `gander_bg.wasm` is, if the bundler cannot find it by itself. */
  wasmUrl?: string | URL;
}

/** A line of text; or token ids, end token included, which work for a base without a tokenizer too. */
export type Input = string | readonly number[];

/** Those of `generate` that have to do with routing. */
export type ScoreOptions = Pick<
  GenerateOptions,
  | "topK"
  | "strategy"
  | "include"
  | "exclude"
  | "bias"
  | "minWeight"
  | "minShare"
  | "onMiss"
  | "budget"
  | "signal"
  | "onProgress"
>;

export interface GenerateOptions {
  maxNewTokens?: number;
  /** How many experts serve a token in one layer. Default: what the catalogue says, usually 2. */
  topK?: number;
  /** `none` leaves all experts out. */
  strategy?: "phatgoose" | "none";
  /** Only these experts. */
  include?: string[];
  /** Not these experts. */
  exclude?: string[];
  /**
   * Added to the scores of experts, by id: above 0 one is chosen more often, below 0 less. Scores are rarely beyond ±20.
   * Default: 0 for all.
   */
  bias?: Record<string, number>;
  /**
   * From 0 to 1. An expert whose weight is below this is dropped, and its weight goes to the others; the best of a token
   * stays. Default 0: none is dropped.
   */
  minWeight?: number;
  /**
   * From 0 to 1. A token is left to the base where its `topK` experts together have less than this share of a softmax
   * over all experts of the layer: where no gate fits clearly. Default 0: every token has experts.
   */
  minShare?: number;
  /**
   * What happens where a chosen expert's page has not been fetched yet. `wait`, the default, gives the answer that all
   * pages in memory would give. `skip` never waits: the expert adds nothing until its page has come behind the tokens, so
   * the answer depends on the network.
   */
  onMiss?: "wait" | "skip";
  /** For this answer. What goes beyond it is done without: the expert adds nothing there. */
  budget?: Budget;
  /** 0, the default, always takes the likeliest token. */
  temperature?: number;
  /** Draw from so many of the likeliest tokens only. */
  samplingTopK?: number;
  /** Draw from the likeliest tokens that together have this probability. */
  topP?: number;
  repetitionPenalty?: number;
  /** The same seed makes the same draws. */
  seed?: number;
  /** End the text before any of these. */
  stop?: string[];
  /** Report which experts served each token. */
  trace?: boolean;
  /** Stops the generation within one step. The model stays usable. */
  signal?: AbortSignal;
  /** Told of expert pages on their way, phase `pages`. */
  onProgress?: OnProgress;
}

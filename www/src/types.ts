// What the users of the package see and write.

import type { RoutingTrace } from "./trace.ts";

/** Which experts one linear layer chose for one token, best first, with weights that sum to 1; of `gated`, to less. */
export interface RoutedChoice {
  /** The layer, as Hugging Face names it: `decoder.block.0.layer.0.SelfAttention.q`. */
  module: string;
  /** The position: of the input for encoder modules, of the output for decoder modules. */
  token: number;
  /** Ids, best first; fewer than `topK` where the layer has fewer or `minWeight` dropped some. */
  experts: string[];
  /** Of the same experts, from 0 to 1. */
  weights: number[];
}

/** One output token, as soon as it is there. */
export interface Piece {
  /** What this token adds to the text; empty where several tokens make one character. */
  text: string;
  /** Its number in the base's vocabulary. */
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
  /** From its turn to its end, downloads and waiting for a slow reader included. */
  milliseconds: number;
  /** Until the first output token, expert downloads included. */
  firstTokenMilliseconds: number;
  /** Runs of the model, those included that had to be repeated when expert pages were missing. */
  passes: number;
  /** Expert pages that the router chose, each counted once, and their size. */
  pagesWanted: number;
  bytesWanted: number;
  /** Of them, those that came over the network. */
  pagesFetched: number;
  bytesFetched: number;
  /** Of them, those that an earlier answer or visit had left in the cache. */
  pagesFromCache: number;
  bytesFromCache: number;
  /** Those of them that some token did without: absent with `onMiss: "skip"`, or beyond a budget. */
  pagesSkipped: number;
  /** With `prefetch`: pages that were fetched before a step wanted them, beside those above; and how many of them one did. */
  pagesPrefetched: number;
  bytesPrefetched: number;
  pagesPrefetchedWanted: number;
  /** Of `milliseconds`, those in which the engine waited for pages. */
  waitMilliseconds: number;
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
  /** Why it ended. */
  finish: Finish;
  /** What the base read, end token included. */
  inputIds: number[];
  /** What it wrote, end token included where it came to one. */
  outputIds: number[];
  /** Present where `trace` was asked for. */
  routing?: RoutingTrace;
  /** What it cost. */
  stats: Stats;
}

/** What is being loaded, and how far. */
export interface Progress {
  /** `base`, `experts` (catalogue and gates), or `pages` (LoRA weights, while generating). */
  phase: "base" | "experts" | "pages";
  /** The last part of the URL, or the file's name. */
  file: string;
  /** Bytes so far. */
  loaded: number;
  /** Bytes in all; null where the server has not said. */
  total: number | null;
}

/** Called at the beginning and the end of each file, and some twenty times a second between. What it throws stops nothing. */
export type OnProgress = (progress: Progress) => void;

/** One expert as its catalogue describes it. */
export interface Expert {
  /** Its id in its catalogue; `<catalog>/<id>` where an expert of another catalogue has the same. */
  id: string;
  /** The name of its catalogue. `<catalog>/<id>` is understood wherever an id is. */
  catalog: string;
  /** For people. Text, never markup, like all that a catalogue says. */
  title: string;
  /** For people, in a sentence or two. */
  description: string;
  /** As SPDX writes it: `CC-BY-4.0`. */
  licence: string;
  /** Words to find it by. */
  tags: string[];
  /** Where it comes from: a URL or words. */
  source: string;
  /** Figures of its maker's choosing. */
  evaluation: Record<string, unknown>;
  /** The size of all its LoRA weights. They are fetched page by page, only when the router asks for them. */
  bytes: number;
  /** In how many pieces it is fetched: one for each block that it adapts. */
  pages: number;
}

/** What is known of the loaded base model. */
export interface Base {
  /** As its file says, or the file's own name. */
  name: string;
  /** The same for a model and all that were quantised from it; a catalogue names the one that it belongs to. */
  fingerprint: string;
  /** Token ids are below this. */
  vocabSize: number;
  encoderBlocks: number;
  decoderBlocks: number;
  /** Without one it takes and gives token ids, not text. */
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
  /** Never `auto`. */
  name: "webgpu" | "cpu" | "webgpu+cpu";
  /** Why there, for people: `asked for`, what a trial took, or what is wrong with the GPU. */
  reason: string;
  /** The GPU, as far as the browser names it. */
  adapter: string | null;
  /**
   * Which of the package's WebAssembly files runs: `threads` where several threads compute; else `relaxed` where the engine has
   * relaxed SIMD, which makes products of quantised weights faster on some processors (ARM, x86 with VNNI), otherwise `plain`.
   * All give the same bits.
   */
  wasmBuild: WasmBuild;
  /** That the CPU computes with; `reason` says why it is one where there were to be more. */
  threads: number;
}

/** A WebAssembly file of the package. */
export type WasmBuild = "plain" | "relaxed" | "threads";

/** How much may be fetched. What is in the cache already costs nothing. */
export interface Budget {
  /** Bytes of expert pages. Default: no limit. */
  bytes?: number;
  /** Experts of which pages are fetched. Default: no limit. */
  experts?: number;
}

/** How patiently the network is used. */
export interface NetworkOptions {
  /**
   * Attempts in a row that may fail, default 4. Tried again are broken connections, stalls, short answers and the statuses
   * 408, 425, 429 and 5xx, from where the last attempt ended; wrong bytes are once.
   */
  attempts?: number;
  /** Before the second attempt, give or take a quarter; doubled before each later one. Default 300. */
  backoffMilliseconds?: number;
  /** A connection that brings less than 16 KiB in so long counts as broken. Default 30 000. */
  stallMilliseconds?: number;
  /** The longest `Retry-After` that is waited for; who asks for more makes the call fail. Default 30 000. */
  longestWaitMilliseconds?: number;
}

/** What is kept between visits. */
export interface CacheOptions {
  /** Default 1 GiB. What was of use longest ago makes room. The browser's own quota may be smaller. */
  budgetBytes?: number;
  /** Node only: a folder. Default `$XDG_CACHE_HOME/gander-models`, without it `%LOCALAPPDATA%` or `~/.cache`. */
  folder?: string;
}

/** What is kept, by all models that share the cache: in a browser those of one origin. */
export interface CacheUsage {
  /** `memory`: there is no storage, so what is kept goes with the model. `problem` says why. */
  kind: "browser" | "disk" | "memory";
  bytes: number;
  entries: number;
  budgetBytes: number;
  /** What the browser allows the page's origin, for all its storage; null where it does not say. */
  quotaBytes: number | null;
  /** What last went wrong: then something was not kept, and is fetched again. */
  problem: string | null;
}

/** What a prefetch was of, and what of it had to be fetched. */
export interface Prefetched {
  pages: number;
  bytes: number;
  pagesFetched: number;
  bytesFetched: number;
}

/** How to prefetch. */
export interface PrefetchOptions {
  /** Phase `pages`. */
  onProgress?: OnProgress;
  /** Stops it; what came is kept. */
  signal?: AbortSignal;
}

/** What to load, and how. */
export interface LoadOptions {
  /** URL of a GGUF file, or of a Hugging Face folder (anything that does not end in `.gguf`); or the GGUF itself. */
  base: string | URL | Blob | ArrayBuffer;
  /**
   * URL of a `catalog.json`, or of several for the same base: the first one's defaults count, and an id that two of them
   * have is written `<catalog>/<id>`. Without any the base answers alone.
   */
  experts?: string | URL | readonly (string | URL)[];
  /** Default `auto`. */
  device?: DeviceName;
  /** Told of all that is downloaded before the first answer. */
  onProgress?: OnProgress;
  /** For all answers of this model together. What goes beyond it is done without, as with `onMiss: "skip"`. */
  budget?: Budget;
  /**
   * Memory for the experts' pages that the engine holds, as 32-bit numbers: an adapter of 16-bit numbers takes twice its file.
   * Default 512 MiB, and less where a GPU has less. What was wanted longest ago makes room, and comes back out of the cache.
   * One that cannot hold what a single step wants fails with `pool-too-small`, which says how much that is.
   */
  adapterPoolBytes?: number;
  /** Stops the loading, and frees what came. */
  signal?: AbortSignal;
  /**
   * Runs in the caller's own thread instead of a worker. Default false; true where there are no workers (Node). In a page
   * it stands still for each token.
   */
  inline?: boolean;
  /** What is kept between visits, and how much of it; false keeps pages in memory alone. Default: up to 1 GiB. */
  cache?: CacheOptions | false;
  network?: NetworkOptions;
  /**
   * SHA-256 of files, in hexadecimal, by the URL that you give for them: `{ "model.gguf": "9f86d0…" }`. Such a file is
   * checked, and fetched once and for all; others are compared with the server's version each time.
   */
  integrity?: Record<string, string>;
  /**
   * Threads that the CPU computes with, at most 8, in a worker of a page that is
   * [cross-origin isolated](https://developer.mozilla.org/docs/Web/API/Window/crossOriginIsolated); anywhere else it is one. The
   * answers do not depend on it. Default: as many as there are processors, at most 4.
   */
  threads?: number;
  /**
   * Where the one WebAssembly file to load is: `gander_bg.wasm`, for engines with relaxed SIMD `gander_relaxed_bg.wasm`, or, if
   * you say `threads` too and they are more than one, `gander_threads_bg.wasm`. Default: the one that fits, beside the package's
   * modules or where the bundler put it.
   */
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

/** How experts are chosen; docs/strategies.md has the formulas. */
export type Strategy =
  | "phatgoose"
  | "gated"
  | "none"
  | `single:${string}`
  | "merged"
  | "random"
  | "average-activation"
  | "arrow"
  | "spectr"
  | "retrieval";

/** How to answer. */
export interface GenerateOptions {
  /** The answer ends after so many tokens, 1 to 16,384. Default 64. */
  maxNewTokens?: number;
  /** How many experts serve a token in one layer. Default: what the catalogue says, usually 2. */
  topK?: number;
  /**
   * How experts are chosen. Default `phatgoose`: by their trained gates, for every token and layer. `gated` does the same and
   * opens each as far as its gate, so that one taken for lack of a better stays quiet. `none` leaves them all out, `single:`
   * and an id takes one alone; the others are PHATGOOSE's rivals, for comparison. Of these `arrow`,
   * `average-activation` and `retrieval` need files that not every catalogue has, which are fetched at first use; `spectr`
   * needs all experts' pages and the CPU.
   */
  strategy?: Strategy;
  /** Only these experts, by id. Default, and for an empty list: all. */
  include?: string[];
  /** Not these experts, by id. Default: none. */
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
  /** From 0. 0, the default, always takes the likeliest token; 1 draws as the model says; more draws more freely. */
  temperature?: number;
  /** Draw from so many of the likeliest tokens only. Default 0: from all. */
  samplingTopK?: number;
  /** Above 0, up to 1. Draw from the likeliest tokens that together have this probability. Default 1: from all. */
  topP?: number;
  /** Above 0. Tokens that were written already become less likely above 1, likelier below. Default 1. */
  repetitionPenalty?: number;
  /** A whole number from 0. The same seed makes the same draws on the same device. Default 0. */
  seed?: number;
  /** End the text before any of these. Default: none. */
  stop?: string[];
  /**
   * Fetch an expert's decoder pages as soon as the input wants half of its encoder pages: fewer waits, for pages that may
   * not be wanted. Nothing under a budget. Default false.
   */
  prefetch?: boolean;
  /** Report which experts served each token. Default false. */
  trace?: boolean;
  /** Stops within one step (on a GPU, eight), or while waiting for its turn. The model stays usable. */
  signal?: AbortSignal;
  /** Told of expert pages on their way, phase `pages`. */
  onProgress?: OnProgress;
}

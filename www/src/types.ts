// What the users of the package see and write.

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
  /** Expert pages that the router asked for and the engine had not: those fetched and those from the cache. */
  pagesWanted: number;
  bytesWanted: number;
  /** Of them, those that came over the network. */
  pagesFetched: number;
  bytesFetched: number;
  /** Of them, those that an earlier answer or visit had left in the cache. */
  pagesFromCache: number;
  bytesFromCache: number;
  /** With `prefetch`: pages that were fetched before a step wanted them, beside those above; and how many of them one did. */
  pagesPrefetched: number;
  bytesPrefetched: number;
  pagesPrefetchedWanted: number;
  /** Of `milliseconds`, those in which the engine waited for pages. */
  waitMilliseconds: number;
}

/** The whole of one answer. */
export interface Answer {
  /** Null where the base has no tokenizer. */
  text: string | null;
  finish: Finish;
  inputIds: number[];
  outputIds: number[];
  /** Present where `trace` was asked for: encoder first, then decoder, in the order of the tokens. */
  routing?: RoutedChoice[];
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

export interface PrefetchOptions {
  /** Phase `pages`. */
  onProgress?: OnProgress;
  /** Stops it; what came is kept. */
  signal?: AbortSignal;
}

export interface LoadOptions {
  /** URL of a GGUF file, or of a Hugging Face folder (anything that does not end in `.gguf`); or the GGUF itself. */
  base: string | URL | Blob | ArrayBuffer;
  /** URL of a `catalog.json`. Without it the base answers alone. */
  experts?: string | URL;
  /** Default `auto`. */
  device?: DeviceName;
  onProgress?: OnProgress;
  /** Stops the loading. */
  signal?: AbortSignal;
  /** Runs in the caller's own thread instead of a worker. Where there are no workers (Node) this is always so. */
  inline?: boolean;
  /** What is kept between visits, and how much of it; false keeps pages in memory alone. Default: up to 1 GiB. */
  cache?: CacheOptions | false;
  network?: NetworkOptions;
  /**
   * SHA-256 of files, in hexadecimal, by the URL that you give for them: `{ "model.gguf": "9f86d0…" }`. Such a file is
   * checked, and fetched once and for all; others are compared with the server's version each time.
   */
  integrity?: Record<string, string>;
  /** Where `gander_bg.wasm` is, if the bundler cannot find it by itself. */
  wasmUrl?: string | URL;
}

/** A line of text; or token ids, end token included, which work for a base without a tokenizer too. */
export type Input = string | readonly number[];

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
  /**
   * Fetch an expert's decoder pages as soon as the input wants half of its encoder pages: fewer waits, for pages that may
   * not be wanted. Default false.
   */
  prefetch?: boolean;
  /** Report which experts served each token. */
  trace?: boolean;
  /** Stops the generation within one step. The model stays usable. */
  signal?: AbortSignal;
  /** Told of expert pages on their way, phase `pages`. */
  onProgress?: OnProgress;
}

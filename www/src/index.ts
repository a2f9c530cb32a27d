/// <reference lib="esnext.disposable" preserve="true" />
// The public API. Runs on the page's main thread and computes nothing: the engine is in a worker.

import { checkBudget } from "./budget.ts";
import { aborted, GanderError, toGanderError } from "./errors.ts";
import { Generation } from "./generation.ts";
import type { GenerateEvents, GenerateRequest, Host, Loaded, PlainAnswer, PlainPiece } from "./host.ts";
import { loadRequest } from "./load_request.ts";
import { ModelCache } from "./model_cache.ts";
import { checkInput, checkLoadOptions, checkRun, engineOptionsOf, inWords } from "./options.ts";
import { unpackRouting } from "./packed_routing.ts";
import { WORKER_NAME } from "./protocol.ts";
import { chosenThreads } from "./threads.ts";
import { RoutingTrace } from "./trace.ts";
import type {
  Answer,
  Base,
  Expert,
  GenerateOptions,
  Input,
  LoadedDevice,
  LoadOptions,
  OnProgress,
  Piece,
  RoutedChoice,
  ScoreOptions,
  Scores,
} from "./types.ts";
import { chosenWasm } from "./wasm_builds.ts";
import { WorkerHost, type WorkerLike } from "./worker_host.ts";

export { GanderError, type GanderErrorCode } from "./errors.ts";
export type { ExplainedPart, ExplainOptions } from "./explain.ts";
export type { Generation } from "./generation.ts";
export type { ModelCache } from "./model_cache.ts";
export type { ExpertShare, ExpertUse, ExpertWeight, RoutingTable, Selection } from "./routing_table.ts";
export { type StrategyName, strategies } from "./strategies.ts";
export { RoutingTrace } from "./trace.ts";
export type { TableData, TraceData, TracedToken } from "./trace_data.ts";
export type { TableJson, TraceJson } from "./trace_files.ts";
export type * from "./types.ts";

/** A base model with its experts, ready to answer. */
export class Gander {
  /** What is known of the base. */
  readonly base: Base;
  /** The experts of the catalogues, in their order. */
  readonly experts: readonly Expert[];
  /** What is kept between visits: base, catalogue, gates and the pages that were of use. */
  readonly cache: ModelCache;
  readonly #host: Host;
  #device: LoadedDevice;
  readonly #onDevice = (device: LoadedDevice): void => {
    this.#device = device;
  };

  private constructor(host: Host, loaded: Loaded) {
    this.#host = host;
    this.base = loaded.base;
    this.#device = loaded.device;
    this.experts = loaded.experts;
    this.cache = new ModelCache(host);
  }

  /**
   * Downloads the base model, the catalogue and the gates of all experts. The experts' LoRA weights stay on the server
   * until the router asks for them.
   * @throws GanderError Among others `not-found`, `network`, `invalid-file`, `wrong-base`; `aborted` if `signal` fires.
   */
  static async load(options: LoadOptions): Promise<Gander> {
    checkLoadOptions(options);
    const threads = chosenThreads(options);
    // Found here and told to the worker: whoever copies the worker does not look inside for what it needs.
    const files = {
      plain: ownFile(new URL("./gander_bg.wasm", import.meta.url)),
      relaxed: ownFile(new URL("./gander_relaxed_bg.wasm", import.meta.url)),
      threads: ownFile(new URL("./gander_threads_bg.wasm", import.meta.url)),
    };
    const request = loadRequest(options, threads, chosenWasm(files, threads).href);
    const signal = options.signal ?? new AbortController().signal;
    if (signal.aborted) throw aborted("load", signal);
    const host = await createHost(options.inline ?? typeof Worker === "undefined", threads);
    try {
      return new Gander(host, await host.load(request, listener(options.onProgress), signal));
    } catch (error) {
      await host.dispose();
      throw signal.aborted ? aborted("load", signal) : toGanderError(error);
    }
  }

  /** Where it computes, and why. It changes if a GPU goes away: the answer then fails, and the next finds another device. */
  get device(): LoadedDevice {
    return this.#device;
  }

  /**
   * Starts to answer. Calls while another runs wait their turn. Failures come out of the returned object, never out of
   * this call.
   */
  generate(input: Input, options: GenerateOptions = {}): Generation {
    let wrong: unknown;
    try {
      checkRun(input, options);
    } catch (error) {
      wrong = error;
    }
    const ids = this.experts.map(({ id }) => id);
    const run = async (onPiece: GenerateEvents["onPiece"], stop: AbortSignal) => {
      if (wrong) throw wrong;
      const events: GenerateEvents = {
        onPiece,
        onProgress: listener(options.onProgress),
        onDevice: this.#onDevice,
      };
      return traced(await this.#host.generate(runRequest(input, options), events, stop));
    };
    return new Generation(run, (piece) => named(piece, ids), wrong ? undefined : options.signal);
  }

  /**
   * How likely each of some given answers is, and which is likeliest: for classification. The input is read once for all
   * of them.
   * @throws GanderError Those of `generate`; `empty-input` without choices; `aborted` if `signal` fires.
   */
  async score(input: Input, choices: readonly Input[], options: ScoreOptions = {}): Promise<Scores> {
    checkRun(input, options);
    if (!Array.isArray(choices)) {
      throw new GanderError("invalid-option", "choices", `it is ${inWords(choices)}`, "a list of answers");
    }
    for (const [index, choice] of choices.entries()) checkInput(`choices[${index}]`, choice);
    const request = { ...runRequest(input, options), choices };
    const signal = options.signal ?? new AbortController().signal;
    if (signal.aborted) throw aborted("score", signal);
    const events = { onProgress: listener(options.onProgress), onDevice: this.#onDevice };
    return this.#host.score(request, events, signal);
  }

  /** Ends the worker and frees its memory. What still runs fails with the code `disposed`. */
  async dispose(): Promise<void> {
    await this.#host.dispose();
  }

  /** `await using model = await Gander.load(…)` disposes of the model where the block ends. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function runRequest(input: Input, options: GenerateOptions): GenerateRequest {
  checkBudget("budget", options.budget);
  const request: GenerateRequest = { input, options: engineOptionsOf(options) };
  if (options.budget) request.budget = options.budget;
  if (options.prefetch) request.prefetch = true;
  return request;
}

/** Numbers crossed from the worker; what people ask is made of them here, once somebody asks: most only want the whole. */
function named(piece: PlainPiece, expertIds: readonly string[]): Piece {
  const { text, tokenId, routing } = piece;
  if (!routing) return { text, tokenId };
  let choices: RoutedChoice[] | undefined;
  return {
    text,
    tokenId,
    get routing() {
      choices ??= unpackRouting(routing, expertIds);
      return choices;
    },
  };
}

function traced({ routing, ...answer }: PlainAnswer): Answer {
  return routing ? { ...answer, routing: new RoutingTrace(routing) } : answer;
}

/** What a listener throws is its own affair, as with the browser's events: it is reported, and stops nothing. */
function listener(onProgress: OnProgress = () => {}): OnProgress {
  return (progress) => {
    try {
      onProgress(progress);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}

async function createHost(inline: boolean, threads: number): Promise<Host> {
  const url =
    threads > 1
      ? ownFile(new URL("./worker_threads.js", import.meta.url))
      : ownFile(new URL("./worker.js", import.meta.url));
  try {
    if (!inline) return new WorkerHost(createWorker(url), url.href);
    const { createInlineHost } = await import("./worker.js");
    return createInlineHost();
  } catch (cause) {
    throw new GanderError("worker", url.href, `it did not start (${cause})`, "all files of the package", {
      cause,
    });
  }
}

function createWorker(url: URL): WorkerLike {
  const options: WorkerOptions = { type: "module", name: WORKER_NAME };
  if (url.origin === globalThis.location.origin) return new Worker(url, options);
  // A page may not start a worker from another origin (a CDN), but a script of its own may import from there.
  const script = `import ${JSON.stringify(url.href)};`;
  const scriptUrl = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  return new Worker(scriptUrl, options);
}

/**
 * The address of a file of this package. Bundlers find the file by exactly the form of the argument, copy it as it is, and
 * put its new address there; with Turbopack that is no URL, though it looks like one, but a path on the site.
 */
function ownFile(url: URL): URL {
  return new URL(String(url), globalThis.location?.href);
}

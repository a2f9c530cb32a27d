// Where the engine and the network meet: start, step, fetch what is missing, step again.
//
// Runs in the worker, or in the caller's thread with `inline`. Everything the engine does is one synchronous call, and
// between two of them the event loop gets its turn, so an abort is heard within one step.

import { AdapterStore } from "./adapter_store.ts";
import { fetchBase, giveBase } from "./base_files.ts";
import { fetchCatalog, resolveFileUrl } from "./catalog_files.ts";
import type { Engine, ExpertInfo, MissingPage, Step } from "./engine.ts";
import { GanderError, throwIfAborted, toGanderError } from "./errors.ts";
import type { GenerateEvents, GenerateRequest, Host, Loaded, LoadRequest } from "./host.ts";
import { OrderedQueue } from "./ordered_queue.ts";
import { throttled } from "./throttle.ts";
import { defaultNetwork, type Network } from "./transfer.ts";
import type { Answer, Expert, OnProgress, RoutedChoice } from "./types.ts";
import { allOrFirstFailure, linked, yieldToEvents } from "./waiting.ts";

export type CreateEngine = (wasmUrl: string | undefined) => Promise<Engine>;

export class EngineHost implements Host {
  readonly #createEngine: CreateEngine;
  readonly #network: Network;
  readonly #store: AdapterStore;
  readonly #queue = new OrderedQueue();
  readonly #disposal = new AbortController();
  #engine: Engine | undefined;
  #catalogUrl = "";
  /** Set once the engine broke a promise of its own; it cannot be trusted after that. */
  #broken: GanderError | undefined;

  constructor(createEngine: CreateEngine, network: Network = defaultNetwork()) {
    this.#createEngine = createEngine;
    this.#network = network;
    this.#store = new AdapterStore(network);
  }

  async load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded> {
    const report = throttled(onProgress);
    const transfers = linked(signal, this.#disposal.signal);
    const { catalogUrl } = request;
    const [engine, base, catalog] = await allOrFirstFailure(transfers, [
      this.#createEngine(request.wasmUrl),
      fetchBase(this.#network, request.base, report, transfers.signal),
      catalogUrl === undefined
        ? undefined
        : fetchCatalog(this.#network, catalogUrl, report, transfers.signal),
    ]);
    try {
      throwIfAborted("load", signal);
      giveBase(engine, base);
      const experts = catalog ? engine.addCatalog(catalog.json, catalog.gates) : [];
      this.#engine = engine;
      this.#catalogUrl = catalog?.url ?? "";
      return { base: engine.baseInfo(), experts: experts.map(describe) };
    } catch (cause) {
      const error = toGanderError(cause);
      this.#engine = undefined;
      if (error.code !== "internal") engine.free();
      throw error;
    }
  }

  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<Answer> {
    const stop = linked(signal, this.#disposal.signal);
    const run = () => this.#generate(request, events, stop.signal);
    return this.#queue
      .run(run, "generate", stop.signal)
      .catch((error) => {
        throw this.#disposal.signal.aborted ? disposedError() : error;
      })
      .finally(() => stop.abort());
  }

  dispose(): void {
    this.#disposal.abort();
    this.#queue.idle().then(() => {
      if (!this.#broken) this.#engine?.free();
      this.#engine = undefined;
    });
  }

  async #generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<Answer> {
    const engine = this.#usableEngine();
    const meter = new Meter();
    const routing: RoutedChoice[] = [];
    this.#call(() => engine.start({ ...request.options, text: request.text }));
    try {
      for (;;) {
        await yieldToEvents();
        throwIfAborted("generate", signal);
        const step = this.#call(() => engine.step());
        switch (step.kind) {
          case "token": {
            meter.token();
            routing.push(...(step.routing ?? []));
            const { kind: _, ...piece } = step;
            events.onPiece(piece);
            break;
          }
          case "missing":
            await this.#bring(step.pages, events.onProgress, signal, engine);
            meter.pages(step.pages);
            break;
          case "done":
            return answerOf(step, routing, request.options.trace === true, meter);
        }
      }
    } catch (error) {
      if (!this.#broken) this.#call(() => engine.cancel());
      throw error;
    }
  }

  /** Fetches pages in parallel and gives each to the engine as it comes. Nothing is still on its way afterwards. */
  async #bring(
    pages: MissingPage[],
    onProgress: OnProgress,
    signal: AbortSignal,
    engine: Engine,
  ): Promise<void> {
    const transfers = linked(signal);
    const file = [...new Set(pages.map((page) => page.expert))].join(", ");
    const total = pages.reduce((sum, page) => sum + page.bytes, 0);
    let loaded = 0;
    onProgress({ phase: "pages", file, loaded, total });
    await allOrFirstFailure(
      transfers,
      pages.map(async (page) => {
        const source = { ...page, url: resolveFileUrl(page.url, this.#catalogUrl) };
        const bytes = await this.#store.page(source, transfers.signal);
        this.#call(() => engine.provide(page.page, bytes));
        loaded += bytes.length;
        onProgress({ phase: "pages", file, loaded, total });
      }),
    );
  }

  #usableEngine(): Engine {
    if (this.#disposal.signal.aborted) throw disposedError();
    if (this.#broken) throw this.#broken;
    if (!this.#engine) {
      throw new GanderError(
        "invalid-state",
        "generate",
        "no base is loaded",
        "load to have succeeded before",
      );
    }
    return this.#engine;
  }

  /** Every call into the engine once it is loaded: notices when it breaks. */
  #call<T>(call: () => T): T {
    try {
      return call();
    } catch (cause) {
      const error = toGanderError(cause);
      if (error.code === "internal") this.#broken = error;
      throw error;
    }
  }
}

function disposedError(): GanderError {
  return new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded");
}

function describe({ pages, ...expert }: ExpertInfo): Expert {
  const bytes = pages.reduce((sum, page) => sum + page.bytes, 0);
  return { ...expert, bytes, pages: pages.length };
}

function answerOf(
  done: Extract<Step, { kind: "done" }>,
  decoderRouting: RoutedChoice[],
  traced: boolean,
  meter: Meter,
): Answer {
  const { text, finish, inputIds, outputIds, passes } = done;
  const answer: Answer = { text, finish, inputIds, outputIds, stats: meter.stats(passes) };
  if (traced) answer.routing = [...(done.encoderRouting ?? []), ...decoderRouting];
  return answer;
}

/** Counts and times one generation. */
class Meter {
  readonly #start = performance.now();
  #firstToken = Number.NaN;
  #tokens = 0;
  #pages = 0;
  #bytes = 0;

  token(): void {
    if (this.#tokens === 0) this.#firstToken = performance.now() - this.#start;
    this.#tokens++;
  }

  pages(pages: MissingPage[]): void {
    this.#pages += pages.length;
    this.#bytes += pages.reduce((sum, page) => sum + page.bytes, 0);
  }

  stats(passes: number): Answer["stats"] {
    const milliseconds = performance.now() - this.#start;
    return {
      tokens: this.#tokens,
      milliseconds,
      firstTokenMilliseconds: this.#tokens > 0 ? this.#firstToken : milliseconds,
      passes,
      pagesFetched: this.#pages,
      bytesFetched: this.#bytes,
    };
  }
}

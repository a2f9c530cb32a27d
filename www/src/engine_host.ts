// Where the engine and the network meet: start, step, fetch what is missing, step again.
//
// Runs in the worker, or in the caller's thread with `inline`. Everything the engine does is one synchronous call, and
// between two of them the event loop gets its turn, so an abort is heard within one step.

import { AdapterStore } from "./adapter_store.ts";
import { dropBase, type GivenBase, giveBase } from "./base_files.ts";
import { fetchCatalog, fetchGates, readOrDrop } from "./catalog_files.ts";
import { CatalogPages } from "./catalog_pages.ts";
import type { Engine, EngineModule, StartRequest } from "./engine.ts";
import { GanderError, type GanderErrorCode, throwIfAborted, toGanderError } from "./errors.ts";
import { FileStore } from "./file_store.ts";
import type {
  CacheAnswers,
  CacheRequest,
  GenerateEvents,
  GenerateRequest,
  Host,
  Loaded,
  LoadRequest,
  PlainAnswer,
  RunEvents,
  ScoreRequest,
} from "./host.ts";
import { Meter } from "./meter.ts";
import { OrderedQueue } from "./ordered_queue.ts";
import { PageCache } from "./page_cache.ts";
import { type AnswerPages, PageSupply } from "./page_supply.ts";
import { answerOf, WrittenTokens } from "./plain_answer.ts";
import { prefetch } from "./prefetch.ts";
import { RunAhead } from "./run_ahead.ts";
import { StrategyVectors } from "./strategy_vectors.ts";
import { throttled } from "./throttle.ts";
import { defaultNetwork, type Network } from "./transfer.ts";
import type { ChoiceScore, OnProgress, Scores } from "./types.ts";
import { allOrFirstFailure, linked, yieldToEvents } from "./waiting.ts";

/** What is wrong with a device, not with the request. */
const deviceFailures = new Set<GanderErrorCode>([
  "device-lost",
  "device-failed",
  "device-limit",
  "out-of-memory",
]);

export type StartEngineModule = (wasmUrl: string, threads: number) => Promise<EngineModule>;

export class EngineHost implements Host {
  readonly #startEngineModule: StartEngineModule;
  readonly #network: Network;
  readonly #queue = new OrderedQueue();
  readonly #disposal = new AbortController();
  #engine: Engine | undefined;
  #cache: PageCache | undefined;
  #pages: PageSupply | undefined;
  #vectors: StrategyVectors | undefined;
  /** Set once the engine broke a promise of its own; it cannot be trusted after that. */
  #broken: GanderError | undefined;

  constructor(startEngineModule: StartEngineModule, network: Network = defaultNetwork()) {
    this.#startEngineModule = startEngineModule;
    this.#network = network;
  }

  async load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded> {
    const report = throttled(onProgress);
    const transfers = linked(signal, this.#disposal.signal);
    const { catalogUrls = [] } = request;
    const network = { ...this.#network, ...request.network };
    const cache = await PageCache.open(request.cache);
    const files = new FileStore(network, cache, request.integrity);
    const starting = this.#startEngineModule(request.wasmUrl, request.threads ?? 1);
    // While the first bytes are on their way the device is opened: its shaders take a while to compile.
    const opening = starting.then(async (engineModule) => {
      const engine = engineModule.createEngine();
      await engine.openDevice(request.device);
      return engine;
    });
    const reading = Promise.all(
      catalogUrls.map((url) => fetchCatalog(files, url, starting, report, transfers.signal)),
    );
    const gates = reading.then((catalogs) =>
      Promise.all(catalogs.map((catalog) => fetchGates(files, catalog, report, transfers.signal))),
    );
    const [engine, base, catalogs] = await allOrFirstFailure(transfers, [
      opening,
      giveBase(files, request.base, opening, reading, report, transfers.signal),
      gates,
    ]).catch((error) => {
      opening.then((engine) => engine.free()).catch(() => {});
      throw toGanderError(error);
    });
    throwIfAborted("load", signal);
    try {
      await this.#finishBase(engine, base, files);
      if (request.adapterPoolBytes !== undefined) engine.setPoolBytes(request.adapterPoolBytes);
      const experts = await readOrDrop(files, catalogUrls, () => engine.addCatalogs(catalogs));
      const device = engine.deviceInfo();
      this.#engine = engine;
      this.#cache = cache;
      this.#vectors = new StrategyVectors(files, catalogs);
      const idsOf = (index: number) => (experts[index] ?? []).map(({ id }) => id);
      this.#pages = new PageSupply(
        new AdapterStore(network, cache),
        new CatalogPages(catalogs.map(({ url, json }, index) => ({ url, json, ids: idsOf(index) }))),
        {
          provide: (page, bytes) => this.#call(() => engine.provide(page, bytes)),
          waive: (page) => this.#call(() => engine.waive(page)),
        },
        request.budget,
        this.#disposal.signal,
      );
      return { base: engine.baseInfo(), device, experts: experts.flat() };
    } catch (cause) {
      const error = toGanderError(cause);
      this.#engine = undefined;
      if (error.code !== "internal") engine.free();
      throw error;
    }
  }

  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer> {
    return this.#inTurn("generate", signal, (stop, contended) =>
      this.#generate(request, events, stop, contended),
    );
  }

  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    return this.#inTurn("score", signal, (stop) => this.#score(request, events, stop));
  }

  #inTurn<T>(
    place: string,
    signal: AbortSignal,
    work: (stop: AbortSignal, contended: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#untilDisposed(signal, (stop) =>
      this.#queue.run((contended) => work(stop, contended), place, stop),
    );
  }

  /** Runs `work` with a signal that fires with the caller's, and when the model is disposed of; then that is the failure. */
  async #untilDisposed<T>(signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const stop = linked(signal, this.#disposal.signal);
    try {
      return await work(stop.signal);
    } catch (error) {
      throw this.#disposal.signal.aborted ? disposedError() : error;
    } finally {
      stop.abort();
    }
  }

  cache<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<CacheAnswers[Ask]> {
    return this.#untilDisposed(signal, (stop) => {
      const run: { [Each in keyof CacheAnswers]: () => Promise<CacheAnswers[Each]> } = {
        usage: async () => this.#usable("cache", this.#cache).usage(),
        clear: async () => {
          await this.#usable("cache", this.#cache).clear();
          return undefined;
        },
        prefetch: async () => {
          const { store, catalogs } = this.#usable("prefetch", this.#pages);
          const pages = catalogs.pagesOf(request.experts ?? []);
          return prefetch(store, pages, throttled(onProgress), stop);
        },
      };
      return run[request.ask]();
    });
  }

  async dispose(): Promise<void> {
    this.#disposal.abort();
    await this.#queue.idle();
    if (!this.#broken) this.#engine?.free();
    this.#engine = undefined;
    await this.#cache?.settled();
  }

  async #generate(
    request: GenerateRequest,
    events: GenerateEvents,
    signal: AbortSignal,
    contended: AbortSignal,
  ): Promise<PlainAnswer> {
    const engine = this.#usable("generate", this.#engine);
    // A slow reader holds the engine back, but not those who wait behind it: it may itself wait for them.
    const runAhead = new RunAhead(signal, contended);
    const meter = new Meter();
    const supply = this.#usable("generate", this.#pages);
    const pages = supply.forAnswer({ ...request, meter, onProgress: events.onProgress, signal });
    const written = request.options.trace ? new WrittenTokens(supply.catalogs.expertIds) : undefined;
    await this.#bringVectors(engine, request, signal);
    await this.#call(() => engine.start(startRequest(request)));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await betweenSteps("generate", signal, pages);
        const step = await this.#call(() => engine.step());
        switch (step.kind) {
          case "token": {
            meter.token();
            written?.add(step);
            const { text, tokenId, routing, skipped } = step;
            if (skipped) pages.bringBehind(skipped);
            runAhead.add(events.onPiece(routing ? { text, tokenId, routing } : { text, tokenId }));
            await runAhead.room();
            break;
          }
          case "missing":
            await meter.waiting(pages.bring(step.pages));
            break;
          case "done":
            return answerOf(step, written, meter.stats(step, pages.prefetched()));
        }
      }
    });
  }

  async #score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    const engine = this.#usable("score", this.#engine);
    const { budget } = request;
    const order = { budget, meter: new Meter(), onProgress: events.onProgress, signal };
    const pages = this.#usable("score", this.#pages).forAnswer(order);
    const choices: ChoiceScore[] = [];
    await this.#bringVectors(engine, request, signal);
    await this.#call(() => engine.startScoring(startRequest(request), request.choices));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await betweenSteps("score", signal, pages);
        const step = await this.#call(() => engine.nextScore());
        if (step.kind === "missing") {
          await pages.bring(step.pages);
          continue;
        }
        if (step.kind === "done") return { best: likeliest(choices), choices };
        if (step.skipped) pages.bringBehind(step.skipped);
        if (step.kind === "scored") choices.push(choiceScore(step));
      }
    });
  }

  async #bringVectors(engine: Engine, { options }: GenerateRequest, signal: AbortSignal): Promise<void> {
    const { strategy } = options;
    if (strategy) await this.#call(() => this.#vectors?.bring(engine, strategy, signal));
  }

  /** Whatever ends the work early, the engine is ready for the next. */
  async #untilDone<T>(engine: Engine, events: RunEvents, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!this.#broken) await this.#call(() => engine.cancel());
      if (error instanceof GanderError && deviceFailures.has(error.code)) await this.#reopen(engine, events);
      throw error;
    }
  }

  /** The answer is lost with its device; the model is not. */
  async #reopen(engine: Engine, events: RunEvents): Promise<void> {
    this.#pages?.forgetProvided();
    await this.#call(() => engine.reopen());
    events.onDevice(engine.deviceInfo());
  }

  async #finishBase(engine: Engine, base: GivenBase, files: FileStore): Promise<void> {
    try {
      await engine.finishBase(base.name);
    } catch (error) {
      await dropBase(files, base, error);
      throw error;
    }
  }

  /** A part of what is loaded, if it is and can be used. */
  #usable<Part>(place: string, part: Part | undefined): Part {
    if (this.#disposal.signal.aborted) throw disposedError();
    if (this.#broken) throw this.#broken;
    if (part === undefined) {
      throw new GanderError("invalid-state", place, "no base is loaded", "load to have succeeded before");
    }
    return part;
  }

  /** Every call into the engine once it is loaded: notices when it breaks. */
  async #call<T>(call: () => T | Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      const error = toGanderError(cause);
      if (error.code === "internal") this.#broken = error;
      throw error;
    }
  }
}

/** Lets others have their turn, and the engine what came meanwhile. */
async function betweenSteps(place: string, signal: AbortSignal, pages: AnswerPages): Promise<void> {
  await yieldToEvents();
  throwIfAborted(place, signal);
  await pages.handOver();
}

function startRequest({ input, options }: GenerateRequest): StartRequest {
  return typeof input === "string" ? { ...options, text: input } : { ...options, inputIds: input };
}

function choiceScore({ ids, logLikelihoods }: { ids: number[]; logLikelihoods: number[] }): ChoiceScore {
  const logLikelihood = logLikelihoods.reduce((sum, term) => sum + term, 0);
  return { ids, logLikelihoods, logLikelihood, perToken: logLikelihood / ids.length };
}

/** The first of those with the highest mean. */
function likeliest(choices: ChoiceScore[]): number {
  const means = choices.map((choice) => choice.perToken);
  return means.indexOf(Math.max(...means));
}

function disposedError(): GanderError {
  return new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded");
}

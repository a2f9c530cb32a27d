// Where the engine and the network meet: start, step, fetch what is missing, step again.
//
// Runs in the worker, or in the caller's thread with `inline`. Everything the engine does is one synchronous call, and
// between two of them the event loop gets its turn, so an abort is heard within one step.

import { AdapterStore, type BroughtPage, type PageSource } from "./adapter_store.ts";
import { type BaseFiles, fetchBase, giveBase } from "./base_files.ts";
import { Purse } from "./budget.ts";
import { fetchCatalog, readOrDrop, resolveFileUrl } from "./catalog_files.ts";
import { type ListedCatalog, pagesOf } from "./catalog_pages.ts";
import { DecoderPrefetch, keyOf } from "./decoder_prefetch.ts";
import type { Engine, EngineModule, MissingPage, StartRequest, Step } from "./engine.ts";
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
import { OrderedQueue } from "./ordered_queue.ts";
import type { PackedRouting } from "./packed_routing.ts";
import { PageCache } from "./page_cache.ts";
import { type ExpertPage, prefetch } from "./prefetch.ts";
import { RunAhead } from "./run_ahead.ts";
import { credentialsFor } from "./safe_url.ts";
import { throttled } from "./throttle.ts";
import { packTrace, type TracedToken } from "./trace_data.ts";
import { defaultNetwork, type Network } from "./transfer.ts";
import type { ChoiceScore, OnProgress, Scores, Stats } from "./types.ts";
import { allOrFirstFailure, linked, yieldToEvents } from "./waiting.ts";

/** What is wrong with a device, not with the request. */
const deviceFailures = new Set<GanderErrorCode>([
  "device-lost",
  "device-failed",
  "device-limit",
  "out-of-memory",
]);

export type StartEngineModule = (wasmUrl: string) => Promise<EngineModule>;

export class EngineHost implements Host {
  readonly #startEngineModule: StartEngineModule;
  readonly #network: Network;
  readonly #queue = new OrderedQueue();
  readonly #disposal = new AbortController();
  #engine: Engine | undefined;
  #catalogs: ListedCatalog[] = [];
  #cache: PageCache | undefined;
  #store: AdapterStore | undefined;
  /** By the experts' places in the engine. */
  #expertIds: string[] = [];
  /** For all answers together. */
  #purse = new Purse(undefined);
  /** Pages that came behind the tokens of answers that do not wait, for the next step. */
  #arrived: (BroughtPage & { page: number })[] = [];
  /** Keys of the pages that the engine was given. It may have made room of some. */
  readonly #provided = new Set<string>();
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
    const starting = this.#startEngineModule(request.wasmUrl);
    // While the files are on their way the device is opened: its shaders take a while to compile.
    const opening = starting.then(async (engineModule) => {
      const engine = engineModule.createEngine();
      await engine.openDevice(request.device);
      return engine;
    });
    const fetchOne = (url: string) => fetchCatalog(files, url, starting, report, transfers.signal);
    const [engine, base, catalogs] = await allOrFirstFailure(transfers, [
      opening,
      fetchBase(files, request.base, report, transfers.signal),
      Promise.all(catalogUrls.map(fetchOne)),
    ]).catch((error) => {
      opening.then((engine) => engine.free()).catch(() => {});
      throw toGanderError(error);
    });
    throwIfAborted("load", signal);
    try {
      await this.#giveBase(engine, base, files);
      const experts = await readOrDrop(files, catalogUrls, () => engine.addCatalogs(catalogs));
      const device = engine.deviceInfo();
      this.#engine = engine;
      this.#expertIds = experts.flat().map(({ id }) => id);
      this.#catalogs = catalogs.map(({ url, json }, index) => ({
        url,
        json,
        ids: (experts[index] ?? []).map(({ id }) => id),
      }));
      this.#cache = cache;
      this.#store = new AdapterStore(network, cache);
      this.#purse = new Purse(request.budget);
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
    const stop = linked(signal, this.#disposal.signal);
    return this.#queue
      .run((contended) => work(stop.signal, contended), place, stop.signal)
      .catch((error) => {
        throw this.#disposal.signal.aborted ? disposedError() : error;
      })
      .finally(() => stop.abort());
  }

  async cache<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<CacheAnswers[Ask]> {
    const stop = linked(signal, this.#disposal.signal);
    const run: { [Each in keyof CacheAnswers]: () => Promise<CacheAnswers[Each]> } = {
      usage: () => this.#usable("cache", this.#cache).usage(),
      clear: async () => {
        await this.#usable("cache", this.#cache).clear();
        return undefined;
      },
      prefetch: () => {
        const pages = this.#pagesOf(request.experts ?? []);
        return prefetch(this.#usable("prefetch", this.#store), pages, throttled(onProgress), stop.signal);
      },
    };
    try {
      return await run[request.ask]();
    } catch (error) {
      throw this.#disposal.signal.aborted ? disposedError() : error;
    } finally {
      stop.abort();
    }
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
    const written = request.options.trace ? new WrittenTokens(this.#expertIds) : undefined;
    const purses = [this.#purse, new Purse(request.budget)];
    const ahead =
      request.prefetch && !purses.some((purse) => purse.isLimited) ? this.#ahead(signal) : undefined;
    await this.#call(() => engine.start(startRequest(request)));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await this.#betweenSteps("generate", engine, signal, meter);
        const step = await this.#call(() => engine.step());
        switch (step.kind) {
          case "token": {
            meter.token();
            written?.add(step);
            const { kind: _, skipped, ...piece } = step;
            if (skipped) this.#bringBehind(skipped, purses);
            runAhead.add(events.onPiece(piece));
            await runAhead.room();
            break;
          }
          case "missing":
            ahead?.wanted(step.pages);
            await meter.waiting(
              this.#bringAffordable(step.pages, purses, meter, events.onProgress, signal, engine),
            );
            break;
          case "done":
            return answerOf(step, written, meter, ahead);
        }
      }
    });
  }

  async #score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    const engine = this.#usable("score", this.#engine);
    const purses = [this.#purse, new Purse(request.budget)];
    const meter = new Meter();
    const choices: ChoiceScore[] = [];
    await this.#call(() => engine.startScoring(startRequest(request), request.choices));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await this.#betweenSteps("score", engine, signal, meter);
        const step = await this.#call(() => engine.nextScore());
        if (step.kind === "missing") {
          await this.#bringAffordable(step.pages, purses, meter, events.onProgress, signal, engine);
        } else if (step.kind === "scored") {
          choices.push(choiceScore(step));
        } else if (step.kind === "done") {
          return { best: likeliest(choices), choices };
        }
      }
    });
  }

  /** Lets others have their turn, and the engine what came meanwhile. */
  async #betweenSteps(place: string, engine: Engine, signal: AbortSignal, meter: Meter): Promise<void> {
    await yieldToEvents();
    throwIfAborted(place, signal);
    for (const brought of this.#arrived.splice(0)) {
      await this.#call(() => engine.provide(brought.page, brought.bytes));
      meter.page(brought);
    }
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
    this.#provided.clear();
    await this.#call(() => engine.reopen());
    events.onDevice(engine.deviceInfo());
  }

  /** Brings the pages that are kept or that the purses pay for, and has the engine do without the others. */
  async #bringAffordable(
    pages: MissingPage[],
    purses: Purse[],
    meter: Meter,
    onProgress: OnProgress,
    signal: AbortSignal,
    engine: Engine,
  ): Promise<void> {
    const affordable = await this.#takeAffordable(pages, purses);
    const refused = pages.filter((page) => !affordable.includes(page));
    for (const { page } of refused) await this.#call(() => engine.waive(page));
    if (affordable.length > 0) await this.#bring(affordable, meter, onProgress, signal, engine);
  }

  /** Fetches pages that nobody waits for, as far as the purses pay. One that does not come is asked for again some day. */
  async #bringBehind(pages: MissingPage[], purses: Purse[]): Promise<void> {
    const store = this.#usable("generate", this.#store);
    const bring = async (page: MissingPage) => {
      const brought = await store.page(this.#sourceOf(page), this.#disposal.signal);
      this.#arrived.push({ ...brought, page: page.page });
    };
    await Promise.allSettled((await this.#takeAffordable(pages, purses)).map(bring));
  }

  /** The pages that cost nothing or that all purses pay for, those first whose expert is wanted in the most places. */
  async #takeAffordable(pages: MissingPage[], purses: Purse[]): Promise<MissingPage[]> {
    if (!purses.some((purse) => purse.isLimited)) return pages;
    const store = this.#usable("generate", this.#store);
    const places = new Map<string, number>();
    for (const { expert } of pages) places.set(expert, (places.get(expert) ?? 0) + 1);
    const byPlaces = [...pages].sort((a, b) => (places.get(b.expert) ?? 0) - (places.get(a.expert) ?? 0));
    const isKept = await Promise.all(byPlaces.map((page) => store.isKept(this.#sourceOf(page))));
    return byPlaces.filter((page, index) => {
      if (isKept[index]) return true;
      if (!purses.every((purse) => purse.affords(page))) return false;
      for (const purse of purses) purse.pay(page);
      return true;
    });
  }

  /** Fetches pages in parallel and gives each to the engine as it comes. Nothing is still on its way afterwards. */
  async #bring(
    pages: MissingPage[],
    meter: Meter,
    onProgress: OnProgress,
    signal: AbortSignal,
    engine: Engine,
  ): Promise<void> {
    const store = this.#usable("generate", this.#store);
    const transfers = linked(signal);
    const file = [...new Set(pages.map((page) => page.expert))].join(", ");
    const total = pages.reduce((sum, page) => sum + page.bytes, 0);
    let loaded = 0;
    onProgress({ phase: "pages", file, loaded, total });
    await allOrFirstFailure(
      transfers,
      pages.map(async (page) => {
        const brought = await store.page(this.#sourceOf(page), transfers.signal);
        const { bytes } = brought;
        await this.#call(() => engine.provide(page.page, bytes));
        this.#provided.add(keyOf(page));
        meter.page(brought);
        loaded += bytes.length;
        onProgress({ phase: "pages", file, loaded, total });
      }),
    );
  }

  #pagesOf(experts: readonly string[]): ExpertPage[] {
    return pagesOf(this.#catalogs, experts);
  }

  #ahead(signal: AbortSignal): DecoderPrefetch {
    const store = this.#usable("generate", this.#store);
    return new DecoderPrefetch(store, (experts) => this.#pagesOf(experts), this.#provided, signal);
  }

  #sourceOf(page: MissingPage): PageSource {
    const { url, offset, bytes, sha256 } = page;
    if (sha256 === null) {
      const place = `${page.expert} ${page.block}`;
      throw new GanderError("invalid-file", place, "the page has no hash", "a SHA-256 in the catalogue");
    }
    const catalogUrl = this.#catalogs.find(({ ids }) => ids.includes(page.expert))?.url ?? "";
    const resolved = resolveFileUrl(url, catalogUrl);
    return { url: resolved, offset, bytes, sha256, credentials: credentialsFor(resolved, catalogUrl) };
  }

  async #giveBase(engine: Engine, base: BaseFiles, files: FileStore): Promise<void> {
    try {
      await giveBase(engine, base);
    } catch (error) {
      // A copy that is no base must not be kept; one that the device had no room for may.
      if (!deviceFailures.has(toGanderError(error).code)) for (const url of base.urls) await files.drop(url);
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

function answerOf(
  done: Extract<Step, { kind: "done" }>,
  written: WrittenTokens | undefined,
  meter: Meter,
  ahead: DecoderPrefetch | undefined,
): PlainAnswer {
  const { text, finish, inputIds, outputIds } = done;
  const none = { pagesPrefetched: 0, bytesPrefetched: 0, pagesPrefetchedWanted: 0 };
  const stats = { ...meter.stats(done), ...(ahead?.counts() ?? none) };
  const answer: PlainAnswer = { text, finish, inputIds, outputIds, stats };
  if (written) {
    const inputTokens = inputIds.map((id, token) => ({ id, text: done.inputTexts?.[token] ?? null }));
    const parts = done.encoderRouting ? [done.encoderRouting, ...written.parts] : written.parts;
    // Without a tokenizer the pieces are empty, which is not to say that the tokens are.
    const outputTokens = written.tokens.map((token) => (text === null ? { ...token, text: null } : token));
    answer.routing = packTrace(parts, written.expertIds, inputTokens, outputTokens);
  }
  return answer;
}

/** The tokens of a traced answer, with their routing. */
class WrittenTokens {
  readonly tokens: TracedToken[] = [];
  readonly parts: PackedRouting[] = [];
  readonly expertIds: readonly string[];

  constructor(expertIds: readonly string[]) {
    this.expertIds = expertIds;
  }

  add({ tokenId, text, routing }: Extract<Step, { kind: "token" }>): void {
    this.tokens.push({ id: tokenId, text });
    if (routing) this.parts.push(routing);
  }
}

/** Times one generation. */
class Meter {
  readonly #start = performance.now();
  #firstToken = Number.NaN;
  #tokens = 0;
  #waited = 0;
  readonly #pages = { fetched: 0, bytesFetched: 0, fromCache: 0, bytesFromCache: 0 };

  token(): void {
    if (this.#tokens === 0) this.#firstToken = performance.now() - this.#start;
    this.#tokens++;
  }

  page({ bytes, isFromCache }: BroughtPage): void {
    this.#pages[isFromCache ? "fromCache" : "fetched"]++;
    this.#pages[isFromCache ? "bytesFromCache" : "bytesFetched"] += bytes.length;
  }

  async waiting(pages: Promise<void>): Promise<void> {
    const start = performance.now();
    await pages;
    this.#waited += performance.now() - start;
  }

  stats(work: Extract<Step, { kind: "done" }>): Omit<Stats, keyof ReturnType<DecoderPrefetch["counts"]>> {
    const { fetched, bytesFetched, fromCache, bytesFromCache } = this.#pages;
    const milliseconds = performance.now() - this.#start;
    return {
      tokens: this.#tokens,
      milliseconds,
      firstTokenMilliseconds: this.#tokens > 0 ? this.#firstToken : milliseconds,
      passes: work.passes,
      pagesWanted: work.pagesWanted,
      bytesWanted: work.bytesWanted,
      pagesFetched: fetched,
      bytesFetched,
      pagesFromCache: fromCache,
      bytesFromCache,
      pagesSkipped: work.pagesSkipped,
      waitMilliseconds: this.#waited,
    };
  }
}

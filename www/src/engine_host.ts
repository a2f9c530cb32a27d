// Where the engine and the network meet: start, step, fetch what is missing, step again.
//
// Runs in the worker, or in the caller's thread with `inline`. Everything the engine does is one synchronous call, and
// between two of them the event loop gets its turn, so an abort is heard within one step.

import { AdapterStore, type BroughtPage, type PageSource } from "./adapter_store.ts";
import { type BaseFiles, fetchBase, giveBase } from "./base_files.ts";
import { type CatalogFiles, fetchCatalog, readOrDrop, resolveFileUrl } from "./catalog_files.ts";
import { pagesOf } from "./catalog_pages.ts";
import { DecoderPrefetch, keyOf } from "./decoder_prefetch.ts";
import type { Engine, EngineModule, MissingPage, Step } from "./engine.ts";
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
} from "./host.ts";
import { OrderedQueue } from "./ordered_queue.ts";
import { PageCache } from "./page_cache.ts";
import { type ExpertPage, prefetch } from "./prefetch.ts";
import { credentialsFor } from "./safe_url.ts";
import { throttled } from "./throttle.ts";
import { defaultNetwork, type Network } from "./transfer.ts";
import type { Answer, OnProgress, RoutedChoice, Stats } from "./types.ts";
import { allOrFirstFailure, linked, yieldToEvents } from "./waiting.ts";

/** What is wrong with a device, not with the request. */
const deviceFailures = new Set<GanderErrorCode>([
  "device-lost",
  "device-failed",
  "device-limit",
  "out-of-memory",
]);

export type StartEngineModule = (wasmUrl: string | undefined) => Promise<EngineModule>;

export class EngineHost implements Host {
  readonly #startEngineModule: StartEngineModule;
  readonly #network: Network;
  readonly #queue = new OrderedQueue();
  readonly #disposal = new AbortController();
  #engine: Engine | undefined;
  #catalog: CatalogFiles | undefined;
  #cache: PageCache | undefined;
  #store: AdapterStore | undefined;
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
    const { catalogUrl } = request;
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
    const [engine, base, catalog] = await allOrFirstFailure(transfers, [
      opening,
      fetchBase(files, request.base, report, transfers.signal),
      catalogUrl === undefined
        ? undefined
        : fetchCatalog(files, catalogUrl, starting, report, transfers.signal),
    ]).catch((error) => {
      opening.then((engine) => engine.free()).catch(() => {});
      throw toGanderError(error);
    });
    throwIfAborted("load", signal);
    try {
      await this.#giveBase(engine, base, files);
      const experts = catalog
        ? await readOrDrop(files, catalog.url, () =>
            engine.addCatalog(catalog.url, catalog.json, catalog.gates),
          )
        : [];
      const device = engine.deviceInfo();
      this.#engine = engine;
      this.#catalog = catalog;
      this.#cache = cache;
      this.#store = new AdapterStore(network, cache);
      return { base: engine.baseInfo(), device, experts };
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

  async cache<Ask extends keyof CacheAnswers>(
    request: CacheRequest<Ask>,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<CacheAnswers[Ask]> {
    const stop = linked(signal, this.#disposal.signal);
    const run: { [Each in keyof CacheAnswers]: () => Promise<CacheAnswers[Each]> } = {
      usage: () => this.#usable(this.#cache).usage(),
      clear: async () => {
        await this.#usable(this.#cache).clear();
        return undefined;
      },
      prefetch: () => {
        const pages = this.#pagesOf(request.experts ?? []);
        return prefetch(this.#usable(this.#store), pages, throttled(onProgress), stop.signal);
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

  async #generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<Answer> {
    const engine = this.#usable(this.#engine);
    const meter = new Meter();
    const routing: RoutedChoice[] = [];
    const { input, options } = request;
    const ahead = request.prefetch
      ? new DecoderPrefetch(
          this.#usable(this.#store),
          (experts) => this.#pagesOf(experts),
          this.#provided,
          signal,
        )
      : undefined;
    await this.#call(() =>
      engine.start(typeof input === "string" ? { ...options, text: input } : { ...options, inputIds: input }),
    );
    try {
      for (;;) {
        await yieldToEvents();
        throwIfAborted("generate", signal);
        const step = await this.#call(() => engine.step());
        switch (step.kind) {
          case "token": {
            meter.token();
            routing.push(...(step.routing ?? []));
            const { kind: _, ...piece } = step;
            events.onPiece(piece);
            break;
          }
          case "missing":
            ahead?.wanted(step.pages);
            await meter.waiting(this.#bring(step.pages, meter, events.onProgress, signal, engine));
            break;
          case "done":
            return answerOf(step, routing, options.trace === true, meter, ahead);
        }
      }
    } catch (error) {
      if (!this.#broken) await this.#call(() => engine.cancel());
      if (error instanceof GanderError && deviceFailures.has(error.code)) await this.#reopen(engine, events);
      throw error;
    }
  }

  /** The answer is lost with its device; the model is not. */
  async #reopen(engine: Engine, events: GenerateEvents): Promise<void> {
    this.#provided.clear();
    await this.#call(() => engine.reopen());
    events.onDevice(engine.deviceInfo());
  }

  /** Fetches pages in parallel and gives each to the engine as it comes. Nothing is still on its way afterwards. */
  async #bring(
    pages: MissingPage[],
    meter: Meter,
    onProgress: OnProgress,
    signal: AbortSignal,
    engine: Engine,
  ): Promise<void> {
    const store = this.#usable(this.#store);
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
    return pagesOf(this.#catalog ? [this.#catalog] : [], experts);
  }

  #sourceOf(page: MissingPage): PageSource {
    const { url, offset, bytes, sha256 } = page;
    if (sha256 === null) {
      const place = `${page.expert} ${page.block}`;
      throw new GanderError("invalid-file", place, "the page has no hash", "a SHA-256 in the catalogue");
    }
    const catalogUrl = this.#catalog?.url ?? "";
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
  #usable<Part>(part: Part | undefined): Part {
    if (this.#disposal.signal.aborted) throw disposedError();
    if (this.#broken) throw this.#broken;
    if (part === undefined) {
      const expected = "load to have succeeded before";
      throw new GanderError("invalid-state", "model", "no base is loaded", expected);
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

function disposedError(): GanderError {
  return new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded");
}

function answerOf(
  done: Extract<Step, { kind: "done" }>,
  decoderRouting: RoutedChoice[],
  traced: boolean,
  meter: Meter,
  ahead: DecoderPrefetch | undefined,
): Answer {
  const { text, finish, inputIds, outputIds } = done;
  const none = { pagesPrefetched: 0, bytesPrefetched: 0, pagesPrefetchedWanted: 0 };
  const stats = { ...meter.stats(done.passes), ...(ahead?.counts() ?? none) };
  const answer: Answer = { text, finish, inputIds, outputIds, stats };
  if (traced) answer.routing = [...(done.encoderRouting ?? []), ...decoderRouting];
  return answer;
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

  stats(passes: number): Omit<Stats, keyof ReturnType<DecoderPrefetch["counts"]>> {
    const { fetched, bytesFetched, fromCache, bytesFromCache } = this.#pages;
    const milliseconds = performance.now() - this.#start;
    return {
      tokens: this.#tokens,
      milliseconds,
      firstTokenMilliseconds: this.#tokens > 0 ? this.#firstToken : milliseconds,
      passes,
      pagesWanted: fetched + fromCache,
      bytesWanted: bytesFetched + bytesFromCache,
      pagesFetched: fetched,
      bytesFetched,
      pagesFromCache: fromCache,
      bytesFromCache,
      waitMilliseconds: this.#waited,
    };
  }
}

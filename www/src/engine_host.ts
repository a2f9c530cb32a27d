// Where the engine and the network meet: start, step, fetch what is missing, step again.
//
// Runs in the worker, or in the caller's thread with `inline`. Everything the engine does is one synchronous call, and
// between two of them the event loop gets its turn, so an abort is heard within one step.

import { AdapterStore, type PageSource } from "./adapter_store.ts";
import { fetchBase, giveBase } from "./base_files.ts";
import { Purse } from "./budget.ts";
import { fetchCatalog, resolveFileUrl } from "./catalog_files.ts";
import type { Engine, EngineModule, MissingPage, StartRequest, Step } from "./engine.ts";
import { GanderError, type GanderErrorCode, throwIfAborted, toGanderError } from "./errors.ts";
import type {
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

export type StartEngineModule = (wasmUrl: string | undefined) => Promise<EngineModule>;

export class EngineHost implements Host {
  readonly #startEngineModule: StartEngineModule;
  readonly #network: Network;
  readonly #store: AdapterStore;
  readonly #queue = new OrderedQueue();
  readonly #disposal = new AbortController();
  #engine: Engine | undefined;
  #catalogUrl = "";
  /** By the experts' places in the engine. */
  #expertIds: string[] = [];
  /** For all answers together. */
  #purse = new Purse(undefined);
  /** Pages that came behind the tokens of answers that do not wait, for the next step. */
  #arrived: { page: number; bytes: Uint8Array }[] = [];
  /** Set once the engine broke a promise of its own; it cannot be trusted after that. */
  #broken: GanderError | undefined;

  constructor(startEngineModule: StartEngineModule, network: Network = defaultNetwork()) {
    this.#startEngineModule = startEngineModule;
    this.#network = network;
    this.#store = new AdapterStore(network);
  }

  async load(request: LoadRequest, onProgress: OnProgress, signal: AbortSignal): Promise<Loaded> {
    const report = throttled(onProgress);
    const transfers = linked(signal, this.#disposal.signal);
    const { catalogUrl } = request;
    const starting = this.#startEngineModule(request.wasmUrl);
    // While the files are on their way the device is opened: its shaders take a while to compile.
    const opening = starting.then(async (engineModule) => {
      const engine = engineModule.createEngine();
      await engine.openDevice(request.device);
      return engine;
    });
    const [engine, base, catalog] = await allOrFirstFailure(transfers, [
      opening,
      fetchBase(this.#network, request.base, report, transfers.signal),
      catalogUrl === undefined
        ? undefined
        : fetchCatalog(this.#network, catalogUrl, starting, report, transfers.signal),
    ]).catch((error) => {
      opening.then((engine) => engine.free()).catch(() => {});
      throw toGanderError(error);
    });
    throwIfAborted("load", signal);
    try {
      await giveBase(engine, base);
      const experts = catalog ? await engine.addCatalog(catalog.url, catalog.json, catalog.gates) : [];
      const device = engine.deviceInfo();
      this.#store.keepsPages = device.name !== "cpu";
      this.#engine = engine;
      this.#catalogUrl = catalog?.url ?? "";
      this.#expertIds = experts.map(({ id }) => id);
      this.#purse = new Purse(request.budget);
      return { base: engine.baseInfo(), device, experts };
    } catch (cause) {
      const error = toGanderError(cause);
      this.#engine = undefined;
      if (error.code !== "internal") engine.free();
      throw error;
    }
  }

  generate(request: GenerateRequest, events: GenerateEvents, signal: AbortSignal): Promise<PlainAnswer> {
    return this.#inTurn("generate", signal, (stop) => this.#generate(request, events, stop));
  }

  score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    return this.#inTurn("score", signal, (stop) => this.#score(request, events, stop));
  }

  #inTurn<T>(place: string, signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const stop = linked(signal, this.#disposal.signal);
    return this.#queue
      .run(() => work(stop.signal), place, stop.signal)
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

  async #generate(
    request: GenerateRequest,
    events: GenerateEvents,
    signal: AbortSignal,
  ): Promise<PlainAnswer> {
    const engine = this.#usableEngine("generate");
    const meter = new Meter();
    const written = request.options.trace ? new WrittenTokens(this.#expertIds) : undefined;
    const purses = [this.#purse, new Purse(request.budget)];
    await this.#call(() => engine.start(startRequest(request)));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await this.#betweenSteps("generate", engine, signal);
        const step = await this.#call(() => engine.step());
        switch (step.kind) {
          case "token": {
            meter.token();
            written?.add(step);
            const { kind: _, skipped, ...piece } = step;
            if (skipped) this.#bringBehind(skipped, purses);
            events.onPiece(piece);
            break;
          }
          case "missing":
            await this.#bringAffordable(step.pages, purses, events.onProgress, signal, engine);
            break;
          case "done":
            return answerOf(step, written, meter);
        }
      }
    });
  }

  async #score(request: ScoreRequest, events: RunEvents, signal: AbortSignal): Promise<Scores> {
    const engine = this.#usableEngine("score");
    const purses = [this.#purse, new Purse(request.budget)];
    const choices: ChoiceScore[] = [];
    await this.#call(() => engine.startScoring(startRequest(request), request.choices));
    return this.#untilDone(engine, events, async () => {
      for (;;) {
        await this.#betweenSteps("score", engine, signal);
        const step = await this.#call(() => engine.nextScore());
        if (step.kind === "missing") {
          await this.#bringAffordable(step.pages, purses, events.onProgress, signal, engine);
        } else if (step.kind === "scored") {
          choices.push(choiceScore(step));
        } else if (step.kind === "done") {
          return { best: likeliest(choices), choices };
        }
      }
    });
  }

  /** Lets others have their turn, and the engine what came meanwhile. */
  async #betweenSteps(place: string, engine: Engine, signal: AbortSignal): Promise<void> {
    await yieldToEvents();
    throwIfAborted(place, signal);
    for (const { page, bytes } of this.#arrived.splice(0)) {
      await this.#call(() => engine.provide(page, bytes));
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
    await this.#call(() => engine.reopen());
    events.onDevice(engine.deviceInfo());
  }

  /** Fetches the pages that the purses pay for, and has the engine do without the others. */
  async #bringAffordable(
    pages: MissingPage[],
    purses: Purse[],
    onProgress: OnProgress,
    signal: AbortSignal,
    engine: Engine,
  ): Promise<void> {
    const affordable = takeAffordable(pages, purses);
    const refused = pages.filter((page) => !affordable.includes(page));
    for (const { page } of refused) await this.#call(() => engine.waive(page));
    if (affordable.length > 0) await this.#bring(affordable, onProgress, signal, engine);
  }

  /** Fetches pages that nobody waits for, as far as the purses pay. One that does not come is asked for again some day. */
  #bringBehind(pages: MissingPage[], purses: Purse[]): void {
    for (const page of takeAffordable(pages, purses)) {
      this.#store
        .page(this.#sourceOf(page), this.#disposal.signal)
        .then((bytes) => this.#arrived.push({ page: page.page, bytes }))
        .catch(() => {});
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
        const bytes = await this.#store.page(this.#sourceOf(page), transfers.signal);
        await this.#call(() => engine.provide(page.page, bytes));
        loaded += bytes.length;
        onProgress({ phase: "pages", file, loaded, total });
      }),
    );
  }

  #sourceOf(page: MissingPage): PageSource {
    const { url, offset, bytes, sha256 } = page;
    if (sha256 === null) {
      const place = `${page.expert} ${page.block}`;
      throw new GanderError("invalid-file", place, "the page has no hash", "a SHA-256 in the catalogue");
    }
    return { url: resolveFileUrl(url, this.#catalogUrl), offset, bytes, sha256 };
  }

  #usableEngine(place: string): Engine {
    if (this.#disposal.signal.aborted) throw disposedError();
    if (this.#broken) throw this.#broken;
    if (!this.#engine) {
      throw new GanderError("invalid-state", place, "no base is loaded", "load to have succeeded before");
    }
    return this.#engine;
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

/** The pages that all purses pay for, those first whose expert is wanted in the most places. */
function takeAffordable(pages: MissingPage[], purses: Purse[]): MissingPage[] {
  const places = new Map<string, number>();
  for (const { expert } of pages) places.set(expert, (places.get(expert) ?? 0) + 1);
  const byPlaces = [...pages].sort((a, b) => (places.get(b.expert) ?? 0) - (places.get(a.expert) ?? 0));
  return byPlaces.filter((page) => {
    if (!purses.every((purse) => purse.affords(page))) return false;
    for (const purse of purses) purse.pay(page);
    return true;
  });
}

function disposedError(): GanderError {
  return new GanderError("disposed", "model", "it was disposed of", "a model that is still loaded");
}

function answerOf(
  done: Extract<Step, { kind: "done" }>,
  written: WrittenTokens | undefined,
  meter: Meter,
): PlainAnswer {
  const { text, finish, inputIds, outputIds } = done;
  const answer: PlainAnswer = { text, finish, inputIds, outputIds, stats: meter.stats(done) };
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

  token(): void {
    if (this.#tokens === 0) this.#firstToken = performance.now() - this.#start;
    this.#tokens++;
  }

  stats(work: Extract<Step, { kind: "done" }>): Stats {
    const milliseconds = performance.now() - this.#start;
    return {
      tokens: this.#tokens,
      milliseconds,
      firstTokenMilliseconds: this.#tokens > 0 ? this.#firstToken : milliseconds,
      passes: work.passes,
      pagesWanted: work.pagesWanted,
      bytesWanted: work.bytesWanted,
      pagesFetched: work.pagesProvided,
      bytesFetched: work.bytesProvided,
      pagesSkipped: work.pagesSkipped,
    };
  }
}

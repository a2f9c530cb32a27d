// The public API. Runs on the page's main thread and computes nothing: the engine is in a worker.

import { checkBudget } from "./budget.ts";
import type { EngineOptions } from "./engine.ts";
import { aborted, GanderError, toGanderError } from "./errors.ts";
import { Generation } from "./generation.ts";
import type {
  GenerateRequest,
  Host,
  Loaded,
  LoadRequest,
  PlainAnswer,
  PlainPiece,
  ScoreRequest,
} from "./host.ts";
import { unpackRouting } from "./packed_routing.ts";
import { RoutingTrace } from "./trace.ts";
import type {
  Answer,
  Base,
  DeviceName,
  Expert,
  GenerateOptions,
  Input,
  LoadedDevice,
  LoadOptions,
  Piece,
  ScoreOptions,
  Scores,
} from "./types.ts";
import { WorkerHost, type WorkerLike } from "./worker_host.ts";

export { GanderError, type GanderErrorCode } from "./errors.ts";
export type { ExplainedPart, ExplainOptions } from "./explain.ts";
export type { Generation } from "./generation.ts";
export type { ExpertShare, ExpertUse, ExpertWeight, RoutingTable, Selection } from "./routing_table.ts";
export { RoutingTrace } from "./trace.ts";
export type { TracedToken } from "./trace_data.ts";
export type { TraceJson } from "./trace_files.ts";
export type * from "./types.ts";

/** A base model with its experts, ready to answer. */
export class Gander {
  readonly base: Base;
  /** The experts of the catalogue, in its order. */
  readonly experts: readonly Expert[];
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
  }

  /**
   * Downloads the base model, the catalogue and the gates of all experts. The experts' LoRA weights stay on the server
   * until the router asks for them.
   * @throws GanderError Among others `not-found`, `network`, `invalid-file`, `wrong-base`; `aborted` if `signal` fires.
   */
  static async load(options: LoadOptions): Promise<Gander> {
    const request = loadRequest(options);
    const signal = options.signal ?? new AbortController().signal;
    if (signal.aborted) throw aborted("load", signal);
    const host = await createHost(options.inline ?? typeof Worker === "undefined");
    try {
      return new Gander(host, await host.load(request, options.onProgress ?? (() => {}), signal));
    } catch (error) {
      host.dispose();
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
    const { signal, onProgress = () => {}, budget, ...engineOptions } = options;
    const run = async (onPiece: (piece: Piece) => void, stop: AbortSignal) => {
      checkBudget("budget", budget);
      const request: GenerateRequest = { input, options: checkedOptions(engineOptions) };
      if (budget) request.budget = budget;
      const ids = this.experts.map(({ id }) => id);
      const events = {
        onPiece: (piece: PlainPiece) => onPiece(named(piece, ids)),
        onProgress,
        onDevice: this.#onDevice,
      };
      return traced(await this.#host.generate(request, events, stop));
    };
    return new Generation(run, signal);
  }

  /**
   * How likely each of some given answers is, and which is likeliest: for classification. The input is read once for all
   * of them.
   * @throws GanderError Those of `generate`; `empty-input` without choices; `aborted` if `signal` fires.
   */
  async score(input: Input, choices: readonly Input[], options: ScoreOptions = {}): Promise<Scores> {
    const {
      signal = new AbortController().signal,
      onProgress = () => {},
      budget,
      ...engineOptions
    } = options;
    checkBudget("budget", budget);
    const request: ScoreRequest = { input, choices, options: checkedOptions(engineOptions) };
    if (budget) request.budget = budget;
    if (signal.aborted) throw aborted("score", signal);
    return this.#host.score(request, { onProgress, onDevice: this.#onDevice }, signal);
  }

  /** Ends the worker and frees its memory. What still runs fails with the code `disposed`. */
  async dispose(): Promise<void> {
    this.#host.dispose();
  }
}

/** Numbers crossed from the worker; what people ask is made of them here. */
function named({ routing, ...piece }: PlainPiece, expertIds: readonly string[]): Piece {
  return routing ? { ...piece, routing: unpackRouting(routing, expertIds) } : piece;
}

function traced({ routing, ...answer }: PlainAnswer): Answer {
  return routing ? { ...answer, routing: new RoutingTrace(routing) } : answer;
}

/** Every option of the engine by name; the compiler sees to it that none is forgotten. */
const engineOptionNames: Record<keyof EngineOptions, true> = {
  maxNewTokens: true,
  topK: true,
  strategy: true,
  include: true,
  exclude: true,
  bias: true,
  minWeight: true,
  minShare: true,
  onMiss: true,
  temperature: true,
  samplingTopK: true,
  topP: true,
  repetitionPenalty: true,
  seed: true,
  stop: true,
  trace: true,
};

/** The options for the engine. One set to undefined is one left out; one that does not exist is most likely mistyped. */
function checkedOptions(options: EngineOptions): EngineOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const unknown = given.find(([name]) => !Object.hasOwn(engineOptionNames, name));
  if (unknown) {
    const expected = `one of ${Object.keys(engineOptionNames).join(", ")}, budget, signal, onProgress`;
    throw new GanderError("invalid-option", unknown[0], "there is no such option", expected);
  }
  return Object.fromEntries(given);
}

async function createHost(inline: boolean): Promise<Host> {
  if (inline) {
    const { createInlineHost } = await import("./inline.ts");
    return createInlineHost();
  }
  return new WorkerHost(createWorker());
}

function createWorker(): WorkerLike {
  if (new URL(import.meta.url).origin === globalThis.location.origin) {
    // Bundlers find the file by exactly this form.
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  }
  // A page may not start a worker from another origin (a CDN), but a script of its own may import from there.
  const script = `import ${JSON.stringify(new URL("./worker.js", import.meta.url).href)};`;
  const scriptUrl = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  return new Worker(scriptUrl, { type: "module" });
}

function loadRequest(options: LoadOptions): LoadRequest {
  const request: LoadRequest = {
    base: loadableBase(options.base),
    device: knownDevice(options.device ?? "auto"),
  };
  checkBudget("budget", options.budget);
  if (options.budget) request.budget = options.budget;
  if (options.experts !== undefined) request.catalogUrl = absoluteUrl(options.experts, "experts");
  if (options.wasmUrl !== undefined) request.wasmUrl = absoluteUrl(options.wasmUrl, "wasmUrl");
  return request;
}

/** The types already say so; not everybody writes TypeScript. */
function knownDevice(device: DeviceName): DeviceName {
  const known = ["auto", "webgpu", "cpu", "webgpu+cpu"];
  if (known.includes(device)) return device;
  throw new GanderError("invalid-option", "device", `"${device}" is not a device`, known.join(", "));
}

function loadableBase(base: LoadOptions["base"]): LoadRequest["base"] {
  if (typeof base === "string" || base instanceof URL) return { url: absoluteUrl(base, "base") };
  if (base instanceof Blob) return { gguf: base, name: base instanceof File ? base.name : "base.gguf" };
  if (base instanceof ArrayBuffer) return { gguf: base, name: "base.gguf" };
  throw new GanderError(
    "invalid-option",
    "base",
    `it is ${typeof base}`,
    "a URL, a File or Blob, or an ArrayBuffer",
  );
}

/** Relative to the page: the worker's own address would be the wrong one to start from. */
function absoluteUrl(url: string | URL, option: string): string {
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch (cause) {
    throw new GanderError("invalid-option", option, `"${url}" is not a URL`, "a URL", { cause });
  }
}

// The public API. Runs on the page's main thread and computes nothing: the engine is in a worker.

import type { EngineOptions } from "./engine.ts";
import { aborted, GanderError, toGanderError } from "./errors.ts";
import { Generation } from "./generation.ts";
import type { Host, Loaded, LoadRequest } from "./host.ts";
import { ModelCache } from "./model_cache.ts";
import type {
  Base,
  CacheOptions,
  DeviceName,
  Expert,
  GenerateOptions,
  Input,
  LoadedDevice,
  LoadOptions,
  Piece,
} from "./types.ts";
import { WorkerHost, type WorkerLike } from "./worker_host.ts";

export { GanderError, type GanderErrorCode } from "./errors.ts";
export type { Generation } from "./generation.ts";
export type { ModelCache } from "./model_cache.ts";
export type * from "./types.ts";

/** A base model with its experts, ready to answer. */
export class Gander {
  readonly base: Base;
  /** The experts of the catalogue, in its order. */
  readonly experts: readonly Expert[];
  /** What is kept between visits: base, catalogue, gates and the pages that were of use. */
  readonly cache: ModelCache;
  readonly #host: Host;
  #device: LoadedDevice;

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
    const { signal, onProgress = () => {}, prefetch = false, ...engineOptions } = options;
    const run = async (onPiece: (piece: Piece) => void, stop: AbortSignal) => {
      const request = { input, options: checkedOptions(engineOptions), prefetch };
      const onDevice = (device: LoadedDevice) => {
        this.#device = device;
      };
      return this.#host.generate(request, { onPiece, onProgress, onDevice }, stop);
    };
    return new Generation(run, signal);
  }

  /** Ends the worker and frees its memory. What still runs fails with the code `disposed`. */
  async dispose(): Promise<void> {
    await this.#host.dispose();
  }
}

/** Every option of the engine by name; the compiler sees to it that none is forgotten. */
const engineOptionNames: Record<keyof EngineOptions, true> = {
  maxNewTokens: true,
  topK: true,
  strategy: true,
  include: true,
  exclude: true,
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
    const expected = `one of ${Object.keys(engineOptionNames).join(", ")}, prefetch, signal, onProgress`;
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
  if (options.experts !== undefined) request.catalogUrl = absoluteUrl(options.experts, "experts");
  if (options.wasmUrl !== undefined) request.wasmUrl = absoluteUrl(options.wasmUrl, "wasmUrl");
  if (options.network !== undefined) request.network = checkedNumbers("network", options.network);
  if (options.integrity !== undefined) request.integrity = checkedHashes(options.integrity);
  request.cache = options.cache !== false && checkedCache(options.cache ?? {});
  return request;
}

/** The types already say so; not everybody writes TypeScript. */
function knownDevice(device: DeviceName): DeviceName {
  const known = ["auto", "webgpu", "cpu", "webgpu+cpu"];
  if (known.includes(device)) return device;
  throw new GanderError("invalid-option", "device", `"${device}" is not a device`, known.join(", "));
}

function checkedCache(options: CacheOptions): CacheOptions {
  const { folder, ...numbers } = options;
  return { ...checkedNumbers("cache", numbers), ...(folder === undefined ? {} : { folder }) };
}

/** Options that are all numbers above 0; those set to undefined are left out. */
function checkedNumbers<Options extends object>(option: string, options: Options): Options {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    if (typeof value === "number" && value > 0) continue;
    throw new GanderError("invalid-option", `${option}.${name}`, `it is ${value}`, "a number above 0");
  }
  return Object.fromEntries(given) as Options;
}

function checkedHashes(integrity: Record<string, string>): Record<string, string> {
  const hashes = Object.entries(integrity).map(([url, sha256]) => {
    if (/^[0-9a-f]{64}$/i.test(sha256)) return [absoluteUrl(url, "integrity"), sha256.toLowerCase()];
    throw new GanderError("invalid-option", `integrity["${url}"]`, `"${sha256}" is no SHA-256`, "64 digits");
  });
  return Object.fromEntries(hashes);
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

// Brings the base model's files, one GGUF or a Hugging Face folder, and gives them to the engine as they come.

import type { ReadCatalog } from "./catalog_files.ts";
import type { Engine } from "./engine.ts";
import { GanderError, isOfFile, throwIfAborted, toGanderError } from "./errors.ts";
import type { FileReceiver, FileStart } from "./file_receiver.ts";
import type { FileStore } from "./file_store.ts";
import type { LoadRequest } from "./host.ts";
import type { OnProgress } from "./types.ts";

/** WebAssembly memory ends at 4 GiB, and the engine needs room beside the file. */
const BASE_LIMIT_BYTES = 2 ** 31;

/** What the engine is given at once: its own memory holds it once more meanwhile. */
const CHUNK_BYTES = 2 ** 18;

/** A file of several that changes while it is read has all of them begun again, so often. */
const MOST_BEGINNINGS = 3;

/** The base is in the engine, but for the last step. */
export interface GivenBase {
  name: string;
  /** Where its files came from. */
  urls: string[];
}

/**
 * Gives the engine a base as it comes.
 * @param catalogs for it, which may insist on one file
 * @throws GanderError `wrong-base` for another than that; what {@link FileStore.stream} and the engine throw
 */
export async function giveBase(
  store: FileStore,
  base: LoadRequest["base"],
  engine: Promise<Engine>,
  catalogs: Promise<readonly ReadCatalog[]>,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<GivenBase> {
  const pinned = catalogs.then((read) => read.filter(({ baseSha256 }) => baseSha256 !== null));
  // Who waits for the catalogues hears of it.
  pinned.catch(() => {});
  const onlyFile = (name: string) => new EngineFile(engine, name, (engine) => engine.beginGguf(), pinned);
  if ("gguf" in base) {
    await giveLocalFile(base.gguf, onlyFile(base.name), base.name, onProgress, signal);
    return { name: base.name, urls: [] };
  }
  const url = new URL(base.url);
  const isGguf = /\.gguf$/i.test(url.pathname);
  const folder = asFolder(url);
  const given: GivenBase = { name: isGguf ? fileName(url) : url.href, urls: [] };
  const stream = (file: URL, receiver: FileReceiver) => {
    given.urls.push(file.href);
    return store.stream(file.href, receiver, optionsFor(file));
  };
  const optionsFor = (file: URL) => ({
    signal,
    limitBytes: BASE_LIMIT_BYTES,
    onBytes: (loaded: number, total: number | null) =>
      onProgress({ phase: "base", file: fileName(file), loaded, total }),
  });
  const fetchByName = async (name: string) => {
    const file = within(folder, name);
    given.urls.push(file.href);
    return [name, await store.file(file.href, optionsFor(file))] as const;
  };
  try {
    if (isGguf) await stream(url, onlyFile(given.name));
    else {
      const [catalog] = await pinned;
      if (catalog) throw wrongBase(catalog, base.url, "the base is a folder");
      await giveFolder(engine, fetchByName, (name, file) => stream(within(folder, name), file));
    }
  } catch (error) {
    await dropBase(store, given, error);
    throw error;
  }
  return given;
}

/** A copy that is no base must not be kept. One that the network or the device failed for may. */
export async function dropBase(store: FileStore, { urls }: GivenBase, error: unknown): Promise<void> {
  const isBug = toGanderError(error).code === "internal";
  if (isBug || isOfFile(error)) for (const url of urls) await store.drop(url);
}

/** What the user has already. */
async function giveLocalFile(
  content: Blob | ArrayBuffer,
  file: EngineFile,
  name: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const total = content instanceof Blob ? content.size : content.byteLength;
  await file.begin({ total, isHashed: false });
  for (let at = 0; at < total; at += CHUNK_BYTES) {
    throwIfAborted("load", signal);
    const part = content.slice(at, at + CHUNK_BYTES);
    const bytes = part instanceof Blob ? await part.arrayBuffer() : part;
    file.add(new Uint8Array(bytes));
    onProgress({ phase: "base", file: name, loaded: at + bytes.byteLength, total });
  }
  await file.end();
}

/** A file of weights, as the engine takes it. */
class EngineFile implements FileReceiver {
  readonly #starting: Promise<Engine>;
  readonly #name: string;
  readonly #beginBase: (engine: Engine) => Promise<void> | void;
  readonly #pinned: Promise<readonly ReadCatalog[]>;
  #engine: Engine | undefined;

  /**
   * @param beginBase called each time the file begins
   * @param pinned catalogues that insist on one file
   */
  constructor(
    starting: Promise<Engine>,
    name: string,
    beginBase: (engine: Engine) => Promise<void> | void,
    pinned: Promise<readonly ReadCatalog[]>,
  ) {
    this.#starting = starting;
    this.#name = name;
    this.#beginBase = beginBase;
    this.#pinned = pinned;
  }

  async begin({ total, isHashed }: FileStart): Promise<void> {
    const engine = await this.#starting;
    const isPinned = (await this.#pinned).length > 0;
    await this.#beginBase(engine);
    engine.beginFile(this.#name, total ?? undefined, isHashed || isPinned);
    this.#engine = engine;
  }

  add(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
      this.#engine?.push(chunk.subarray(at, at + CHUNK_BYTES));
    }
  }

  async end(): Promise<string | undefined> {
    const sha256 = await this.#engine?.endFile();
    for (const catalog of await this.#pinned) {
      if (catalog.baseSha256?.toLowerCase() === sha256) continue;
      throw wrongBase(catalog, this.#name, `SHA-256 is ${sha256}`);
    }
    return sha256;
  }
}

function wrongBase({ url, baseSha256 }: ReadCatalog, place: string, problem: string): GanderError {
  return new GanderError("wrong-base", place, problem, `the file with SHA-256 ${baseSha256}, for ${url}`);
}

/** Of several files, which have no hash together. */
const notPinned = Promise.resolve([]);

type NamedFile = readonly [name: string, bytes: Uint8Array];
type FetchByName = (name: string) => Promise<NamedFile>;
type GiveByName = (name: string, file: EngineFile) => Promise<void>;

async function giveFolder(
  engine: Promise<Engine>,
  fetchByName: FetchByName,
  give: GiveByName,
): Promise<void> {
  // The small file first: a mistyped address should not cost the weights' download.
  const config = await fetchByName("config.json");
  const tokenizer = fetchTokenizer(fetchByName);
  const smallFiles = tokenizer.then((files) => Object.fromEntries([config, ...files]));
  await Promise.all([smallFiles, giveWeights(engine, smallFiles, fetchByName, give)]);
}

/** `model.safetensors`, or the shards that `model.safetensors.index.json` names. */
async function giveWeights(
  engine: Promise<Engine>,
  smallFiles: Promise<Record<string, Uint8Array>>,
  fetchByName: FetchByName,
  give: GiveByName,
): Promise<void> {
  const one = "model.safetensors";
  const alone = new EngineFile(
    engine,
    one,
    async (engine) => engine.beginFolder(await smallFiles, 1),
    notPinned,
  );
  const whole = await unlessMissing(give(one, alone).then(() => true));
  if (whole) return;
  const [, index] = await fetchByName("model.safetensors.index.json");
  const shards = shardNames(index);
  for (let beginning = 1; ; beginning++) {
    try {
      await giveShards(shards, engine, smallFiles, give);
      return;
    } catch (error) {
      if (!(error instanceof ChangedShard)) throw error;
      if (beginning === MOST_BEGINNINGS) throw error.failure;
    }
  }
}

/** A shard was begun again: what is joined of it and of others could be of two models. */
class ChangedShard extends Error {
  readonly failure: GanderError;

  constructor(name: string) {
    super(name);
    this.failure = new GanderError(
      "network",
      name,
      "it changes or breaks off again and again",
      "one whole file",
    );
  }
}

/** One after the other, each from its start to its end. */
async function giveShards(
  shards: readonly string[],
  engine: Promise<Engine>,
  smallFiles: Promise<Record<string, Uint8Array>>,
  give: GiveByName,
): Promise<void> {
  const begun = new Set<string>();
  for (const name of shards) {
    const file = new EngineFile(
      engine,
      name,
      async (engine) => {
        if (begun.has(name)) throw new ChangedShard(name);
        if (begun.size === 0) engine.beginFolder(await smallFiles, shards.length);
        begun.add(name);
      },
      notPinned,
    );
    await give(name, file);
  }
}

/** `tokenizer.json`, or `spiece.model` with the number of sentinels that `tokenizer_config.json` says; or nothing. */
async function fetchTokenizer(fetchByName: FetchByName): Promise<NamedFile[]> {
  const whole = await unlessMissing(fetchByName("tokenizer.json"));
  if (whole) return [whole];
  const names = ["spiece.model", "tokenizer_config.json"];
  const parts = await Promise.all(names.map((name) => unlessMissing(fetchByName(name))));
  return parts.filter((part) => part !== undefined);
}

function shardNames(index: Uint8Array): string[] {
  const place = "model.safetensors.index.json";
  const expected = '{"weight_map": {"<tensor>": "<file>.safetensors"}}';
  let names: unknown[];
  try {
    names = Object.values(JSON.parse(new TextDecoder().decode(index)).weight_map);
  } catch (cause) {
    throw new GanderError("invalid-file", place, "no weight_map could be read from it", expected, { cause });
  }
  const shards = [...new Set(names)];
  // Names of files in this folder only: the index is not to choose what else is fetched.
  const isShard = (name: unknown): name is string =>
    typeof name === "string" && /^[\w.-]+\.safetensors$/.test(name);
  if (shards.length === 0 || !shards.every(isShard)) {
    throw new GanderError(
      "invalid-file",
      place,
      "a shard has no plain .safetensors name, or there is none",
      expected,
    );
  }
  return shards;
}

/** Undefined where the server has no such file. Other failures are thrown. */
async function unlessMissing<T>(fetching: Promise<T>): Promise<T | undefined> {
  try {
    return await fetching;
  } catch (error) {
    if (error instanceof GanderError && error.code === "not-found") return undefined;
    throw error;
  }
}

function asFolder(url: URL): URL {
  const folder = new URL(url);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return folder;
}

/** A file of the folder, under the folder's own query (signed URLs carry one). */
function within(folder: URL, name: string): URL {
  const url = new URL(name, folder);
  url.search = folder.search;
  return url;
}

function fileName(url: URL): string {
  return decodeURIComponent(url.pathname.split("/").at(-1) || url.hostname);
}

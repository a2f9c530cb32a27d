// Brings the base model's files, one GGUF or a Hugging Face folder, and gives them to the engine.

import type { Engine } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { FileStore } from "./file_store.ts";
import type { LoadRequest } from "./host.ts";
import type { OnProgress } from "./types.ts";

/** WebAssembly memory ends at 4 GiB, and the engine needs room beside the file. */
const BASE_LIMIT_BYTES = 2 ** 31;

/** The base, downloaded and not yet in the engine. */
export type BaseFiles = ({ gguf: Uint8Array } | { folder: Record<string, Uint8Array> }) & {
  name: string;
  /** Where its files came from. */
  urls: string[];
};

export async function fetchBase(
  store: FileStore,
  base: LoadRequest["base"],
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<BaseFiles> {
  if ("gguf" in base) {
    const buffer = base.gguf instanceof Blob ? await base.gguf.arrayBuffer() : base.gguf;
    onProgress({ phase: "base", file: base.name, loaded: buffer.byteLength, total: buffer.byteLength });
    return { name: base.name, gguf: new Uint8Array(buffer), urls: [] };
  }

  const urls: string[] = [];
  const fetchFile = (url: URL, magic?: string) => {
    urls.push(url.href);
    return store.file(url.href, {
      signal,
      magic,
      limitBytes: BASE_LIMIT_BYTES,
      onBytes: (loaded, total) => onProgress({ phase: "base", file: fileName(url), loaded, total }),
    });
  };

  const url = new URL(base.url);
  if (/\.gguf$/i.test(url.pathname)) return { name: fileName(url), gguf: await fetchFile(url, "GGUF"), urls };
  return { name: url.href, folder: await fetchFolder(asFolder(url), fetchFile), urls };
}

/** Hands the bytes over: nothing here holds on to them while the engine makes its own of them. */
export function giveBase(engine: Engine, base: BaseFiles): Promise<void> {
  if ("folder" in base) return engine.loadHuggingFace(base.name, base.folder);
  const { gguf } = base;
  base.gguf = new Uint8Array(0);
  return engine.loadGguf(base.name, gguf);
}

type FetchFile = (url: URL) => Promise<Uint8Array>;

async function fetchFolder(folder: URL, fetchFile: FetchFile): Promise<Record<string, Uint8Array>> {
  const fetchByName = async (name: string) => [name, await fetchFile(within(folder, name))] as const;
  // The small file first: a mistyped address should not cost the weights' download.
  const config = await fetchByName("config.json");
  const [tokenizer, weights] = await Promise.all([fetchTokenizer(fetchByName), fetchWeights(fetchByName)]);
  return Object.fromEntries([config, ...tokenizer, ...weights]);
}

/** `tokenizer.json`, or `spiece.model` with the number of sentinels that `tokenizer_config.json` says; or nothing. */
async function fetchTokenizer(fetchByName: FetchByName): Promise<NamedFile[]> {
  const whole = await unlessMissing(fetchByName("tokenizer.json"));
  if (whole) return [whole];
  const names = ["spiece.model", "tokenizer_config.json"];
  const parts = await Promise.all(names.map((name) => unlessMissing(fetchByName(name))));
  return parts.filter((part) => part !== undefined);
}

type NamedFile = readonly [name: string, bytes: Uint8Array];
type FetchByName = (name: string) => Promise<NamedFile>;

/** `model.safetensors`, or the shards that `model.safetensors.index.json` names. */
async function fetchWeights(fetchByName: FetchByName): Promise<NamedFile[]> {
  const whole = await unlessMissing(fetchByName("model.safetensors"));
  if (whole) return [whole];
  const [, bytes] = await fetchByName("model.safetensors.index.json");
  return Promise.all(shardNames(bytes).map(fetchByName));
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

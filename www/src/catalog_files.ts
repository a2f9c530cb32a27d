// Brings a catalogue and the gates of all its experts. Reading the catalogue is the engine's work.

import type { EngineModule } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { FileStore } from "./file_store.ts";
import { credentialsFor } from "./safe_url.ts";
import type { OnProgress } from "./types.ts";

/** A thousand experts with a few dozen pages each stay well below. */
const CATALOG_LIMIT_BYTES = 64 * 2 ** 20;
const GATES_LIMIT_BYTES = 2 ** 30;

export interface CatalogFiles {
  /** What the URLs in the catalogue are relative to. */
  url: string;
  json: Uint8Array;
  gates: Uint8Array;
}

export async function fetchCatalog(
  store: FileStore,
  url: string,
  engineModule: Promise<EngineModule>,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<CatalogFiles> {
  const report = (file: string) => (loaded: number, total: number | null) =>
    onProgress({ phase: "experts", file, loaded, total });
  const json = await store.file(url, {
    signal,
    limitBytes: CATALOG_LIMIT_BYTES,
    onBytes: report("catalog.json"),
  });
  const source = await readOrDrop(store, url, async () => (await engineModule).gatesOf(url, json));
  if (source.bytes > GATES_LIMIT_BYTES) {
    throw new GanderError("invalid-file", url, `gates of ${source.bytes} bytes`, "at most 1 GiB");
  }
  const gatesUrl = resolveFileUrl(source.url, url);
  const gates = await store.file(gatesUrl, {
    signal,
    limitBytes: source.bytes,
    sha256: source.sha256,
    credentials: credentialsFor(gatesUrl, url),
    onBytes: report("gates"),
  });
  return { url, json, gates };
}

/** A copy that cannot be read must not be kept: the next try fetches another. */
export async function readOrDrop<T>(store: FileStore, url: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    await store.drop(url);
    throw error;
  }
}

/** The address of a file that the catalogue names. Only the web's own schemes are followed. */
export function resolveFileUrl(url: string, catalogUrl: string): string {
  let resolved: URL;
  try {
    resolved = new URL(url, catalogUrl);
  } catch (cause) {
    throw new GanderError("invalid-file", catalogUrl, `"${url}" is not a URL`, "a relative or https URL", {
      cause,
    });
  }
  if (resolved.protocol !== "https:" && resolved.protocol !== "http:") {
    throw new GanderError("invalid-file", catalogUrl, `"${url}" is not a web address`, "https or http");
  }
  return resolved.href;
}

// Brings a catalogue and the gates of all its experts, and holds its URLs to the rules. Reading it is the engine's work.

import type { CatalogFiles, EngineModule, NamedFiles } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { FileStore } from "./file_store.ts";
import { credentialsFor } from "./safe_url.ts";
import type { OnProgress } from "./types.ts";

/** A thousand experts with a few dozen pages each stay well below. */
const CATALOG_LIMIT_BYTES = 64 * 2 ** 20;
/** The engine holds the size against the experts' shapes; this holds it against memory. */
const VECTORS_LIMIT_BYTES = 2 ** 30;

/** A `catalog.json`, and what it says of other files. */
export interface ReadCatalog extends NamedFiles {
  url: string;
  json: Uint8Array;
}

export async function fetchCatalog(
  store: FileStore,
  url: string,
  engineModule: Promise<EngineModule>,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ReadCatalog> {
  const onBytes = reporter("catalog.json", onProgress);
  const json = await store.file(url, { signal, limitBytes: CATALOG_LIMIT_BYTES, onBytes });
  const named = await readOrDrop(store, [url], async () => (await engineModule).filesOf(url, json));
  return { url, json, ...named };
}

export async function fetchGates(
  store: FileStore,
  { url, json, gates: source }: ReadCatalog,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<CatalogFiles> {
  const gatesUrl = resolveFileUrl(source.url, url);
  const gates = await store.file(gatesUrl, {
    signal,
    limitBytes: checkedLimit(url, "gates", source.bytes),
    sha256: source.sha256,
    credentials: credentialsFor(gatesUrl, url),
    onBytes: reporter("gates", onProgress),
  });
  return { url, json, gates };
}

/** The size of a file as its catalogue has it, if that is one to fetch. */
export function checkedLimit(catalogUrl: string, what: string, bytes: number): number {
  if (bytes <= VECTORS_LIMIT_BYTES) return bytes;
  throw new GanderError("invalid-file", catalogUrl, `${what} of ${bytes} bytes`, "at most 1 GiB");
}

function reporter(file: string, onProgress: OnProgress): (loaded: number, total: number | null) => void {
  return (loaded, total) => onProgress({ phase: "experts", file, loaded, total });
}

/** A copy that cannot be read must not be kept: the next try fetches another. */
export async function readOrDrop<T>(
  store: FileStore,
  urls: readonly string[],
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    for (const url of urls) await store.drop(url);
    throw error;
  }
}

/**
 * The address of a file that the catalogue names: in the catalogue's own folder or below, or anywhere by http or https.
 * The engine has the same rule; here it is held by the parser that the browser fetches with. What is wrong with an address
 * wherever it comes from, a password in it, is found when it is fetched.
 */
export function resolveFileUrl(url: string, catalogUrl: string): string {
  const refuse = (problem: string, cause?: unknown) =>
    new GanderError(
      "invalid-file",
      catalogUrl,
      `${JSON.stringify(url)} ${problem}`,
      "a URL relative to the catalogue and not above it, or an http or https URL",
      { cause },
    );
  let resolved: URL;
  let folder: URL;
  try {
    resolved = new URL(url, catalogUrl);
    folder = new URL(".", catalogUrl);
  } catch (cause) {
    throw refuse("is not a URL", cause);
  }
  const isOfTheWeb = resolved.protocol === "https:" || resolved.protocol === "http:";
  if (/^https?:\/\//i.test(url) ? !isOfTheWeb : !resolved.href.startsWith(folder.href)) {
    throw refuse("leads elsewhere");
  }
  return resolved.href;
}

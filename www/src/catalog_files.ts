// Brings a catalogue and the gates of all its experts. Reading the catalogue is the engine's work.

import { downloadFile } from "./download.ts";
import type { EngineModule } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { Network } from "./transfer.ts";
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
  network: Network,
  url: string,
  engineModule: Promise<EngineModule>,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<CatalogFiles> {
  const report = (file: string) => (loaded: number, total: number | null) =>
    onProgress({ phase: "experts", file, loaded, total });
  const json = await downloadFile(network, url, {
    signal,
    limitBytes: CATALOG_LIMIT_BYTES,
    onBytes: report("catalog.json"),
  });
  const source = (await engineModule).gatesOf(url, json);
  if (source.bytes > GATES_LIMIT_BYTES) {
    throw new GanderError("invalid-file", url, `gates of ${source.bytes} bytes`, "at most 1 GiB");
  }
  const gatesUrl = resolveFileUrl(source.url, url);
  const gates = await downloadFile(network, gatesUrl, {
    signal,
    limitBytes: source.bytes,
    onBytes: report("gates"),
  });
  // Their size and hash are checked where they are read, in the engine.
  return { url, json, gates };
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

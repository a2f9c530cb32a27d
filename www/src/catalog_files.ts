// Brings a catalogue and the gates of all its experts. What the catalogue says of them is for the engine to check;
// here only what the download needs is read.

import { verifySha256 } from "./digest.ts";
import { downloadFile } from "./download.ts";
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
  const source = gatesSource(json, url);
  const gatesUrl = resolveFileUrl(source.url, url);
  const gates = await downloadFile(network, gatesUrl, {
    signal,
    limitBytes: source.bytes,
    onBytes: report("gates"),
  });
  if (gates.length !== source.bytes) {
    throw new GanderError("invalid-file", gatesUrl, `${gates.length} bytes came`, `${source.bytes} bytes`);
  }
  await verifySha256(gates as Uint8Array<ArrayBuffer>, source.sha256, gatesUrl);
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

interface GatesSource {
  url: string;
  bytes: number;
  sha256: string;
}

function gatesSource(json: Uint8Array, catalogUrl: string): GatesSource {
  let catalog: { format?: unknown; gates?: Partial<Record<keyof GatesSource, unknown>> } | null;
  try {
    catalog = JSON.parse(new TextDecoder().decode(json));
  } catch (cause) {
    throw new GanderError("invalid-file", catalogUrl, "it is not JSON", "a gander-catalog", { cause });
  }
  if (catalog?.format !== "gander-catalog") {
    throw new GanderError("invalid-file", catalogUrl, "it is no catalogue", '"format": "gander-catalog"');
  }
  const { url, bytes, sha256 } = catalog.gates ?? {};
  const isSize = Number.isSafeInteger(bytes) && Number(bytes) > 0 && Number(bytes) <= GATES_LIMIT_BYTES;
  if (typeof url !== "string" || !isSize || typeof sha256 !== "string" || !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new GanderError(
      "invalid-file",
      `${catalogUrl}: gates`,
      "it does not say where the gates are",
      '{"url": text, "bytes": size up to 1 GiB, "sha256": 64 hexadecimal digits}',
    );
  }
  return { url, bytes: Number(bytes), sha256 };
}

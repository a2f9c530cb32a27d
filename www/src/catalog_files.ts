// Brings a catalogue and the gates of all its experts, and holds its URLs to the rules. Reading it is the engine's work.

import { downloadFile } from "./download.ts";
import type { CatalogFiles, EngineModule } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { Network } from "./transfer.ts";
import type { OnProgress } from "./types.ts";

/** A thousand experts with a few dozen pages each stay well below. */
const CATALOG_LIMIT_BYTES = 64 * 2 ** 20;
/** The engine holds the size against the experts' shapes; this holds it against memory. */
const GATES_LIMIT_BYTES = 2 ** 30;

export async function fetchCatalog(
  network: Network,
  url: string,
  engineModule: Promise<EngineModule>,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<CatalogFiles> {
  if (hasCredentials(new URL(url))) {
    throw new GanderError(
      "invalid-option",
      "experts",
      "the URL carries a name or a password",
      "a URL without",
    );
  }
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

/**
 * The address of a file that the catalogue names: in the catalogue's own folder or below, or anywhere by http or https.
 * The engine has the same rule; here it is held by the parser that the browser fetches with.
 */
export function resolveFileUrl(url: string, catalogUrl: string): string {
  const refuse = (problem: string, cause?: unknown) =>
    new GanderError(
      "invalid-file",
      catalogUrl,
      `${JSON.stringify(url)} ${problem}`,
      "a URL relative to the catalogue and not above it, or an http or https URL without a password",
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
  if (hasCredentials(resolved)) throw refuse("carries a name or a password");
  const isOfTheWeb = resolved.protocol === "https:" || resolved.protocol === "http:";
  if (/^https?:\/\//i.test(url) ? !isOfTheWeb : !resolved.href.startsWith(folder.href)) {
    throw refuse("leads elsewhere");
  }
  return resolved.href;
}

function hasCredentials(url: URL): boolean {
  return url.username !== "" || url.password !== "";
}

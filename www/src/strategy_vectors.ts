// What some strategies tell experts apart by, beside their gates: files of the catalogues, fetched when such a strategy is first
// asked for.

import { checkedLimit, resolveFileUrl } from "./catalog_files.ts";
import type { CatalogFiles, Engine, NamedFile } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { FileStore } from "./file_store.ts";
import { credentialsFor } from "./safe_url.ts";

export class StrategyVectors {
  readonly #files: FileStore;
  readonly #catalogs: readonly CatalogFiles[];
  /** Catalogues and strategies that the engine has the vectors of. */
  readonly #brought = new Set<string>();

  constructor(files: FileStore, catalogs: readonly CatalogFiles[]) {
    this.#files = files;
    this.#catalogs = catalogs;
  }

  /** Sees to it that the engine has what a strategy needs, as far as the catalogues have it. */
  async bring(engine: Engine, strategy: string, signal: AbortSignal): Promise<void> {
    for (const { url: catalogUrl, json } of this.#catalogs) {
      const key = `${strategy} ${catalogUrl}`;
      if (this.#brought.has(key)) continue;
      const catalog = JSON.parse(new TextDecoder().decode(json));
      const file: unknown = Object.hasOwn(catalog.vectors ?? {}, strategy) && catalog.vectors[strategy];
      if (file) {
        const { url, bytes, sha256 } = checked(file, catalogUrl, strategy);
        const fileUrl = resolveFileUrl(url, catalogUrl);
        const content = await this.#files.file(fileUrl, {
          signal,
          limitBytes: checkedLimit(catalogUrl, `vectors of ${strategy}`, bytes),
          sha256,
          credentials: credentialsFor(fileUrl, catalogUrl),
        });
        engine.addVectors(catalog.name, strategy, url, content);
      }
      this.#brought.add(key);
    }
  }
}

/** The engine reads of a catalogue what every model needs, and leaves the rest to those who use it. */
function checked(file: unknown, catalogUrl: string, strategy: string): NamedFile {
  const { url, bytes, sha256 } = file as Partial<NamedFile>;
  if (typeof url === "string" && Number.isSafeInteger(bytes) && /^[0-9a-f]{64}$/i.test(`${sha256}`)) {
    return file as NamedFile;
  }
  throw new GanderError(
    "invalid-file",
    catalogUrl,
    `vectors of ${strategy} are no file`,
    "url, bytes, sha256",
  );
}

// What some strategies tell experts apart by, beside their gates: files of the catalogues, fetched when such a strategy is first
// asked for.

import { checkedLimit, resolveFileUrl } from "./catalog_files.ts";
import type { Engine } from "./engine.ts";
import type { FileStore } from "./file_store.ts";
import { credentialsFor } from "./safe_url.ts";

export class StrategyVectors {
  readonly #files: FileStore;
  /** In the order in which the engine was given the catalogues. */
  readonly #catalogUrls: readonly string[];

  constructor(files: FileStore, catalogUrls: readonly string[]) {
    this.#files = files;
    this.#catalogUrls = catalogUrls;
  }

  /** Sees to it that the engine has what a strategy needs, as far as the catalogues have it. */
  async bring(engine: Engine, strategy: string, signal: AbortSignal): Promise<void> {
    for (const { catalog, file } of engine.missingVectors(strategy)) {
      const catalogUrl = this.#catalogUrls[catalog] ?? "";
      const url = resolveFileUrl(file.url, catalogUrl);
      const bytes = await this.#files.file(url, {
        signal,
        limitBytes: checkedLimit(catalogUrl, `vectors of ${strategy}`, file.bytes),
        sha256: file.sha256,
        credentials: credentialsFor(url, catalogUrl),
      });
      engine.addVectors(catalog, strategy, bytes);
    }
  }
}

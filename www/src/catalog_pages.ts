// Where all pages of some experts are. The engine, which read and checked the catalogues, names pages only when it wants them.

import { resolveFileUrl } from "./catalog_files.ts";
import { GanderError } from "./errors.ts";
import type { ExpertPage } from "./prefetch.ts";
import { credentialsFor } from "./safe_url.ts";

/** A catalogue, and the ids that its experts go by, in its order. */
export interface ListedCatalog {
  url: string;
  json: Uint8Array;
  ids: readonly string[];
}

/** What is used of a catalogue's entry; the engine has found it well-formed. */
interface CatalogExpert {
  id: string;
  adapter: { url: string };
  pages: { block: string; offset: number; bytes: number; sha256: string }[];
}

type ListedExpert = CatalogExpert & { catalogUrl: string; fullName: string };

/** The catalogues of a model. */
export class CatalogPages {
  readonly #catalogs: readonly ListedCatalog[];
  /** By expert. */
  readonly #catalogUrls: ReadonlyMap<string, string>;
  #experts: ListedExpert[] | undefined;

  constructor(catalogs: readonly ListedCatalog[]) {
    this.#catalogs = catalogs;
    this.#catalogUrls = new Map(catalogs.flatMap(({ url, ids }) => ids.map((id) => [id, url])));
  }

  /** Ids, by the experts' places in the engine. */
  get expertIds(): string[] {
    return [...this.#catalogUrls.keys()];
  }

  /** The address that the expert's files are relative to. */
  catalogUrlOf(expert: string): string {
    return this.#catalogUrls.get(expert) ?? "";
  }

  /**
   * `names` are ids, or full names: `<catalogue>/<id>`.
   * @throws GanderError `unknown-expert`
   */
  pagesOf(names: readonly string[]): ExpertPage[] {
    // Most models never ask, and a catalogue of thousands is long.
    this.#experts ??= this.#catalogs.flatMap(listedExperts);
    const wanted = names.map((name) => {
      const expert = this.#experts?.find(({ id, fullName }) => id === name || fullName === name);
      if (expert) return expert;
      const problem = `there is no "${name}"`;
      throw new GanderError("unknown-expert", "prefetch", problem, "an expert of the catalogue");
    });
    return [...new Set(wanted)].flatMap(pagesOfExpert);
  }
}

function listedExperts({ url: catalogUrl, json, ids }: ListedCatalog): ListedExpert[] {
  const catalog = JSON.parse(new TextDecoder().decode(json)) as { name: string; experts: CatalogExpert[] };
  return catalog.experts.map((expert, index) => {
    return { ...expert, catalogUrl, id: ids[index] ?? expert.id, fullName: `${catalog.name}/${expert.id}` };
  });
}

function pagesOfExpert({ id, adapter, catalogUrl, pages }: ListedExpert): ExpertPage[] {
  const url = resolveFileUrl(adapter.url, catalogUrl);
  const credentials = credentialsFor(url, catalogUrl);
  return pages.map(({ block, offset, bytes, sha256 }) => {
    return { expert: id, block, url, credentials, offset, bytes, sha256: sha256.toLowerCase() };
  });
}

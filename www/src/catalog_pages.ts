// Where all pages of some experts are. The engine, which read and checked the catalogue, names pages only when it wants them.

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

/**
 * `names` are ids, or full names: `<catalogue>/<id>`.
 * @throws GanderError `unknown-expert`
 */
export function pagesOf(catalogs: readonly ListedCatalog[], names: readonly string[]): ExpertPage[] {
  const experts = catalogs.flatMap(({ url: catalogUrl, json, ids }) => {
    const catalog = JSON.parse(new TextDecoder().decode(json)) as { name: string; experts: CatalogExpert[] };
    return catalog.experts.map((expert, index) => {
      const id = ids[index] ?? expert.id;
      return { ...expert, catalogUrl, id, fullName: `${catalog.name}/${expert.id}` };
    });
  });
  const wanted = names.map((name) => {
    const expert = experts.find(({ id, fullName }) => id === name || fullName === name);
    if (expert) return expert;
    throw new GanderError(
      "unknown-expert",
      "prefetch",
      `there is no "${name}"`,
      "an expert of the catalogue",
    );
  });
  return [...new Set(wanted)].flatMap((expert) => {
    const { id } = expert;
    const url = resolveFileUrl(expert.adapter.url, expert.catalogUrl);
    const credentials = credentialsFor(url, expert.catalogUrl);
    return expert.pages.map(({ block, offset, bytes, sha256 }) => ({
      ...{ expert: id, block, url, credentials, offset, bytes, sha256: sha256.toLowerCase() },
    }));
  });
}

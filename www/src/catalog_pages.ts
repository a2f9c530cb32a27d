// Where all pages of some experts are. The engine, which read and checked the catalogue, names pages only when it wants them.

import { type CatalogFiles, resolveFileUrl } from "./catalog_files.ts";
import { GanderError } from "./errors.ts";
import type { ExpertPage } from "./prefetch.ts";
import { credentialsFor } from "./safe_url.ts";

/** What is used of a catalogue's entry; the engine has found it well-formed. */
interface CatalogExpert {
  id: string;
  adapter: { url: string };
  pages: { block: string; offset: number; bytes: number; sha256: string }[];
}

/** @throws GanderError `unknown-expert` */
export function pagesOf(catalogs: readonly CatalogFiles[], ids: readonly string[]): ExpertPage[] {
  const experts = catalogs.flatMap(({ url: catalogUrl, json }) => {
    const catalog = JSON.parse(new TextDecoder().decode(json)) as { experts: CatalogExpert[] };
    return catalog.experts.map((expert) => ({ catalogUrl, ...expert }));
  });
  return [...new Set(ids)].flatMap((id) => {
    const expert = experts.find((candidate) => candidate.id === id);
    if (!expert) {
      throw new GanderError(
        "unknown-expert",
        "prefetch",
        `there is no "${id}"`,
        "an expert of the catalogue",
      );
    }
    const url = resolveFileUrl(expert.adapter.url, expert.catalogUrl);
    const credentials = credentialsFor(url, expert.catalogUrl);
    return expert.pages.map(({ block, offset, bytes, sha256 }) => ({
      ...{ expert: id, block, url, credentials, offset, bytes, sha256: sha256.toLowerCase() },
    }));
  });
}

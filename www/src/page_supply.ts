// Brings the engine the pages that its steps want: out of the cache or over the network, as far as budgets pay for them, while
// a step waits or behind it.

import type { AdapterStore, BroughtPage, PageSource } from "./adapter_store.ts";
import { Purse } from "./budget.ts";
import { resolveFileUrl } from "./catalog_files.ts";
import type { CatalogPages } from "./catalog_pages.ts";
import { DecoderPrefetch, keyOf } from "./decoder_prefetch.ts";
import type { MissingPage } from "./engine.ts";
import { GanderError } from "./errors.ts";
import type { Meter } from "./meter.ts";
import { credentialsFor } from "./safe_url.ts";
import type { Budget, OnProgress } from "./types.ts";
import { allOrFirstFailure, linked } from "./waiting.ts";

/** What becomes of a page that was wanted. Neither is called while the engine does anything else. */
export interface PageTaker {
  provide(page: number, bytes: Uint8Array): Promise<void>;
  /** The answer goes on without it. */
  waive(page: number): Promise<void>;
}

/** One answer, or one scoring. */
export interface Order {
  budget?: Budget | undefined;
  prefetch?: boolean | undefined;
  meter: Meter;
  onProgress: OnProgress;
  signal: AbortSignal;
}

/** A page on its way between the network and the engine. */
type Arrival = BroughtPage & { wanted: MissingPage };

/** For all answers of a model. */
export class PageSupply {
  readonly store: AdapterStore;
  readonly catalogs: CatalogPages;
  readonly taker: PageTaker;
  /** For all answers together. */
  readonly purse: Purse;
  /** Pages that came behind the tokens of answers that do not wait, for the next step. */
  readonly arrived: Arrival[] = [];
  /** Keys of the pages that the engine was given. It may have made room of some. */
  readonly provided = new Set<string>();
  /** Ends what no answer waits for. */
  readonly disposal: AbortSignal;

  constructor(
    store: AdapterStore,
    catalogs: CatalogPages,
    taker: PageTaker,
    budget: Budget | undefined,
    disposal: AbortSignal,
  ) {
    this.store = store;
    this.catalogs = catalogs;
    this.taker = taker;
    this.purse = new Purse(budget);
    this.disposal = disposal;
  }

  forAnswer(order: Order): AnswerPages {
    return new AnswerPages(this, order);
  }

  /** The engine has lost all that it was given. */
  forgetProvided(): void {
    this.provided.clear();
  }

  sourceOf({ expert, block, url, offset, bytes, sha256 }: MissingPage): PageSource {
    if (sha256 === null) {
      const expected = "a SHA-256 in the catalogue";
      throw new GanderError("invalid-file", `${expert} ${block}`, "the page has no hash", expected);
    }
    const catalogUrl = this.catalogs.catalogUrlOf(expert);
    const resolved = resolveFileUrl(url, catalogUrl);
    return { url: resolved, offset, bytes, sha256, credentials: credentialsFor(resolved, catalogUrl) };
  }
}

/** The pages of one answer. */
export class AnswerPages {
  readonly #supply: PageSupply;
  readonly #order: Order;
  readonly #purses: readonly Purse[];
  readonly #ahead: DecoderPrefetch | undefined;

  constructor(supply: PageSupply, order: Order) {
    this.#supply = supply;
    this.#order = order;
    this.#purses = [supply.purse, new Purse(order.budget)];
    const { store, catalogs, provided } = supply;
    if (order.prefetch && !this.#isLimited) {
      const pagesOf = (experts: string[]) => catalogs.pagesOf(experts);
      this.#ahead = new DecoderPrefetch(store, pagesOf, provided, order.signal);
    }
  }

  /** Gives the engine what came since. Between two steps. */
  async handOver(): Promise<void> {
    for (const arrival of this.#supply.arrived.splice(0)) await this.#provide(arrival);
  }

  /**
   * Brings the pages that are kept or that the purses pay for, and has the engine do without the others. Nothing is still on its
   * way afterwards.
   */
  async bring(pages: MissingPage[]): Promise<void> {
    this.#ahead?.wanted(pages);
    const affordable = await this.#takeAffordable(pages);
    for (const page of pages) if (!affordable.includes(page)) await this.#supply.taker.waive(page.page);
    if (affordable.length > 0) await this.#bringAll(affordable);
  }

  /** Fetches pages that nobody waits for, as far as the purses pay. One that does not come is asked for again some day. */
  async bringBehind(pages: MissingPage[]): Promise<void> {
    const { store, arrived, disposal } = this.#supply;
    const bring = async (wanted: MissingPage) => {
      arrived.push({ ...(await store.page(this.#supply.sourceOf(wanted), disposal)), wanted });
    };
    await Promise.allSettled((await this.#takeAffordable(pages)).map(bring));
  }

  prefetched(): ReturnType<DecoderPrefetch["counts"]> {
    return this.#ahead?.counts() ?? { pagesPrefetched: 0, bytesPrefetched: 0, pagesPrefetchedWanted: 0 };
  }

  get #isLimited(): boolean {
    return this.#purses.some((purse) => purse.isLimited);
  }

  /** The pages that cost nothing or that all purses pay for, those first whose expert is wanted in the most places. */
  async #takeAffordable(pages: MissingPage[]): Promise<MissingPage[]> {
    if (!this.#isLimited) return pages;
    const places = new Map<string, number>();
    for (const { expert } of pages) places.set(expert, (places.get(expert) ?? 0) + 1);
    const byPlaces = [...pages].sort((a, b) => (places.get(b.expert) ?? 0) - (places.get(a.expert) ?? 0));
    const isKept = await Promise.all(
      byPlaces.map((page) => this.#supply.store.isKept(this.#supply.sourceOf(page))),
    );
    return byPlaces.filter((page, index) => {
      if (isKept[index]) return true;
      if (!this.#purses.every((purse) => purse.affords(page))) return false;
      for (const purse of this.#purses) purse.pay(page);
      return true;
    });
  }

  /** In parallel; each goes to the engine as it comes. */
  async #bringAll(pages: MissingPage[]): Promise<void> {
    const { onProgress, signal } = this.#order;
    const transfers = linked(signal);
    const file = [...new Set(pages.map((page) => page.expert))].join(", ");
    const total = pages.reduce((sum, page) => sum + page.bytes, 0);
    let loaded = 0;
    onProgress({ phase: "pages", file, loaded, total });
    await allOrFirstFailure(
      transfers,
      pages.map(async (wanted) => {
        const brought = await this.#supply.store.page(this.#supply.sourceOf(wanted), transfers.signal);
        await this.#provide({ ...brought, wanted });
        loaded += brought.bytes.length;
        onProgress({ phase: "pages", file, loaded, total });
      }),
    );
  }

  async #provide({ wanted, ...brought }: Arrival): Promise<void> {
    await this.#supply.taker.provide(wanted.page, brought.bytes);
    this.#supply.provided.add(keyOf(wanted));
    this.#order.meter.page(brought);
  }
}

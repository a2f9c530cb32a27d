// Keeps the column that is being cleaned, so that a closed tab costs nothing: the table, what was answered so far, and the
// routing of some rows. There is one such column in a browser, the latest; a tab that works on an older one keeps nothing.

import type { TraceData } from "gander";
import type { RowResult } from "./batch_run.ts";
import type { Separator } from "./csv.ts";
import { transact } from "./database.ts";

/** Longer texts are cleaned as well, and not kept: to write them would hold the page up. */
export const MOST_KEPT_BYTES = 8 * 2 ** 20;

/** What makes a table, and which part of it is cleaned. */
export interface ColumnSettings {
  text: string;
  hasByteOrderMark: boolean;
  name: string;
  separator: Separator;
  /** What was noticed when the file was read. */
  note: string;
  column: number;
  hasHeader: boolean;
}

export interface KeptColumn extends ColumnSettings {
  results: [row: number, result: RowResult][];
  /** Rows whose routing was kept. */
  routed: number[];
  keeper: ColumnKeeper;
}

type Entries = KeptColumn["results"];

interface ColumnRecord extends Omit<ColumnSettings, "text"> {
  id: string;
  text: Blob;
}

const KEY = "latest";

export class ColumnKeeper {
  readonly #id: string;
  #waiting: Entries = [];
  /** Where nothing can be kept, the routing of some rows is all that this tab remembers. */
  readonly #remembered = new Map<number, TraceData>();
  /** Fails where the browser keeps nothing. */
  readonly #begun: Promise<unknown>;

  private constructor(id: string, begun: Promise<unknown>) {
    this.#id = id;
    this.#begun = begun;
    begun.catch(() => {});
  }

  /** Begins to keep a column in place of the one before. */
  static begin({ text, ...settings }: ColumnSettings): ColumnKeeper {
    const id = crypto.randomUUID();
    const isSmall = text.length <= MOST_KEPT_BYTES;
    const begun = isSmall
      ? transact(["column", "column-results", "column-routings"], "readwrite", (storeOf) => {
          storeOf("column-results").clear();
          storeOf("column-routings").clear();
          const record: ColumnRecord = { id, ...settings, text: new Blob([text]) };
          return storeOf("column").put(record, KEY);
        })
      : Promise.reject(new Error("it is too large"));
    return new ColumnKeeper(id, begun);
  }

  /** The column of an earlier visit, if there is one. */
  static async open(): Promise<KeptColumn | undefined> {
    const record = await transact<ColumnRecord | undefined>(["column"], "readonly", (storeOf) =>
      storeOf("column").get(KEY),
    );
    if (!record) return undefined;
    const { id, text, ...settings } = record;
    const chunks = await transact<Entries[]>(["column-results"], "readonly", (storeOf) =>
      storeOf("column-results").getAll(),
    );
    const routed = await transact(["column-routings"], "readonly", (storeOf) =>
      storeOf("column-routings").getAllKeys(),
    );
    return {
      ...settings,
      text: await text.text(),
      results: chunks.flat(),
      routed: routed.map(Number),
      keeper: new ColumnKeeper(id, Promise.resolve()),
    };
  }

  static async forget(): Promise<void> {
    await transact(["column", "column-results", "column-routings"], "readwrite", (storeOf) => {
      storeOf("column-results").clear();
      storeOf("column-routings").clear();
      return storeOf("column").delete(KEY);
    });
  }

  /** Why nothing is kept; undefined where it is. */
  async problem(): Promise<string | undefined> {
    return this.#begun.then(
      () => undefined,
      (error) => (error instanceof Error ? error.message : String(error)),
    );
  }

  /** Kept with the next {@link flush}. */
  add(row: number, result: RowResult): void {
    this.#waiting.push([row, result]);
  }

  async flush(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    if (entries.length > 0) await this.#keep("column-results", (store) => store.add(entries));
  }

  async addRouting(row: number, { experts, input, output }: TraceData): Promise<void> {
    const data: TraceData = { experts, input, output };
    const isKept = await this.#keep("column-routings", (store) => store.put(data, row));
    if (!isKept) this.#remembered.set(row, data);
  }

  async routingOf(row: number): Promise<TraceData | undefined> {
    const remembered = this.#remembered.get(row);
    if (remembered) return remembered;
    return transact<TraceData | undefined>(["column-routings"], "readonly", (storeOf) =>
      storeOf("column-routings").get(row),
    );
  }

  /** Writes if the column is still the latest; answers whether it could. */
  async #keep(
    name: "column-results" | "column-routings",
    write: (store: IDBObjectStore) => IDBRequest<IDBValidKey>,
  ): Promise<boolean> {
    try {
      await this.#begun;
      const record = await transact<ColumnRecord | undefined>(["column", name], "readwrite", (storeOf) => {
        const asked = storeOf("column").get(KEY);
        asked.onsuccess = () => {
          if (asked.result?.id === this.#id) write(storeOf(name));
        };
        return asked;
      });
      return record?.id === this.#id;
    } catch {
      return false;
    }
  }
}

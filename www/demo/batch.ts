// Brings a column in, from a paste, a file or an earlier visit, and hands it to a sheet.

import { BatchSheet, type SheetParts } from "./batch_sheet.ts";
import { Table } from "./column.ts";
import { ColumnKeeper, type KeptColumn } from "./column_store.ts";
import { guessSeparator, type Separator } from "./csv.ts";
import { byId, element } from "./elements.ts";
import type { Loaded } from "./loading.ts";
import { decodeText, LIMIT_BYTES } from "./text_file.ts";
import { size } from "./units.ts";
import { goTo } from "./views.ts";

export type BatchParts = Pick<SheetParts, "choice" | "onAsk">;

export class BatchView {
  readonly #parts: BatchParts;
  readonly #section = byId("batch");
  #loaded: Loaded | undefined;
  #sheet: BatchSheet | undefined;
  #exampleLines: readonly string[] = [];

  constructor(parts: BatchParts) {
    this.#parts = parts;
    const file = byId<HTMLInputElement>("batch-file");
    byId("batch-pick").onclick = () => file.click();
    file.onchange = () => {
      this.#readFile(file.files?.[0]);
      // The same file again is a change too.
      file.value = "";
    };
    byId("batch-use").onclick = () => this.useText(byId<HTMLTextAreaElement>("batch-paste").value);
    byId("batch-example").onclick = () => this.useText(this.#exampleLines.join("\n"));
    // Anywhere: a browser leaves the page for a file that is dropped beside its place.
    const place = byId("batch-source");
    document.ondragover = (event) => {
      event.preventDefault();
      place.classList.add("over");
    };
    document.ondragleave = () => place.classList.remove("over");
    document.ondrop = (event) => {
      event.preventDefault();
      place.classList.remove("over");
      goTo("column");
      this.#readFile(event.dataTransfer?.files[0]);
    };
  }

  setModel(loaded: Loaded): void {
    this.#loaded = loaded;
    this.#sheet?.setModel(loaded);
  }

  /** Brings the column of an earlier visit back, unless there is another by now. */
  async restore(): Promise<void> {
    // Where nothing can be kept, nothing was.
    const kept = await ColumnKeeper.open().catch(() => undefined);
    if (!kept || this.#sheet) return;
    const { text, hasByteOrderMark, name, separator, note } = kept;
    const table = await Table.read({ text, hasByteOrderMark, name }, separator);
    if (!this.#sheet) this.#showSheet(table, note, kept);
  }

  setExamples(lines: readonly string[]): void {
    this.#exampleLines = lines;
  }

  /** Lines or a table, as they were pasted. */
  async useText(text: string): Promise<void> {
    byId<HTMLTextAreaElement>("batch-paste").value = text.length < 20_000 ? text : "";
    await this.#use({ text, hasByteOrderMark: false, name: "column.csv" }, guessSeparator(text), "");
  }

  async #readFile(file: File | undefined): Promise<void> {
    if (!file) return;
    if (file.size > LIMIT_BYTES) {
      this.#say(
        `${file.name} has ${size(file.size)}; a tab can take ${size(LIMIT_BYTES)}. Cut it into parts.`,
      );
      return;
    }
    const { text, hasByteOrderMark, encoding } = decodeText(new Uint8Array(await file.arrayBuffer()));
    const note = encoding === "UTF-8" ? "" : `It was read as ${encoding}; it is written as UTF-8.`;
    await this.#use({ text, hasByteOrderMark, name: file.name }, guessSeparator(text, file.name), note);
  }

  async #use(source: Table["source"], separator: Separator, note: string): Promise<void> {
    this.#sheet?.stop();
    this.#sheet = undefined;
    if (source.text.trim() === "") {
      this.#say("There is nothing in it. Paste some lines, or pick a file.");
      return;
    }
    this.#showSheet(await Table.read(source, separator), note);
  }

  #showSheet(table: Table, note: string, kept?: KeptColumn): void {
    const sheet = new BatchSheet(this.#section, table, note, kept, {
      ...this.#parts,
      onSeparator: (other) => this.#use(table.source, other, note),
      onRemove: () => this.#remove(),
    });
    this.#sheet = sheet;
    if (this.#loaded) sheet.setModel(this.#loaded);
  }

  async #remove(): Promise<void> {
    this.#sheet?.stop();
    this.#sheet = undefined;
    this.#section.hidden = true;
    this.#section.replaceChildren();
    byId("batch-paste").focus();
    await ColumnKeeper.forget().catch(() => {});
  }

  #say(text: string): void {
    this.#section.hidden = false;
    this.#section.replaceChildren(element("p", { class: "card", role: "alert" }, text));
  }
}

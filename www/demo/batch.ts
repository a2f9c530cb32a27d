// Cleans a column: brings the rows in, shows them page by page while they are answered, and gives the file back.

import { GanderError, type GanderErrorCode } from "gander";
import { BatchRun, Pace } from "./batch_run.ts";
import { Table } from "./column.ts";
import { guessSeparator, type Separator } from "./csv.ts";
import { compare } from "./diff_view.ts";
import { byId, element, labelled, say, scrollBox } from "./elements.ts";
import type { ExpertChoice } from "./expert_choice.ts";
import { hideFailure, showFailure } from "./failure_box.ts";
import type { Loaded } from "./loading.ts";
import { saveFile } from "./save_file.ts";
import { decodeText, LIMIT_BYTES } from "./text_file.ts";
import { count, counted, duration, rate, size } from "./units.ts";
import { goTo } from "./views.ts";

/** Rows shown at once. Thousands of table rows would take seconds to lay out. */
const PAGE_ROWS = 25;

/** How often what moves is drawn. */
const REDRAW_MILLISECONDS = 200;

/** Failures of one text. Whatever else happens would happen to the next row too, so it stops the run. */
const failuresOfARow = new Set<GanderErrorCode>([
  "empty-input",
  "token-out-of-range",
  "pool-too-small",
  "not-finite",
]);

const separatorNames: Record<Separator, string> = {
  ",": "comma",
  ";": "semicolon",
  "\t": "tab",
  "|": "bar",
  "": "none: each line is a row",
};

export class BatchView {
  readonly #choice: ExpertChoice;
  readonly #section = byId("batch");
  #loaded: Loaded | undefined;
  #sheet: BatchSheet | undefined;
  #exampleLines: readonly string[] = [];

  constructor(choice: ExpertChoice) {
    this.#choice = choice;
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
    const table = await Table.read(source, separator);
    const sheet = new BatchSheet(this.#section, table, note, this.#choice, (other) =>
      this.#use(source, other, note),
    );
    this.#sheet = sheet;
    if (this.#loaded) sheet.setModel(this.#loaded);
  }

  #say(text: string): void {
    this.#section.hidden = false;
    this.#section.replaceChildren(element("p", { class: "card", role: "alert" }, text));
  }
}

/** One table on the page, and the run that cleans it. */
class BatchSheet {
  readonly #table: Table;
  readonly #choice: ExpertChoice;
  readonly #column = element("select", { id: "batch-column" });
  readonly #hasHeader = element("input", { id: "batch-header", type: "checkbox" });
  readonly #run = element(
    "button",
    { type: "button", class: "primary", disabled: true },
    "Clean this column",
  );
  readonly #save = element("button", { type: "button", disabled: true }, "Download");
  readonly #bar = element("progress", { value: 0, "aria-label": "Rows done" });
  readonly #said = element("p", { class: "muted", role: "status" });
  /** Changes many times a second, so it is not read out. */
  readonly #pace = element("p", { class: "muted pace" });
  readonly #body = element("tbody", {});
  readonly #pageText = element("span", { class: "muted" });
  readonly #changedOnly = element("input", { id: "batch-changed", type: "checkbox" });
  readonly #follow = element("input", { id: "batch-follow", type: "checkbox", checked: true });
  readonly #pages: HTMLButtonElement[];
  #loaded: Loaded | undefined;
  #work: BatchRun | undefined;
  #running: AbortController | undefined;
  #page = 0;
  /** Rows with another value than before, in the order in which they were done. */
  #changed: number[] = [];
  #mustDraw = false;

  constructor(
    place: HTMLElement,
    table: Table,
    note: string,
    choice: ExpertChoice,
    onSeparator: (separator: Separator) => void,
  ) {
    this.#table = table;
    this.#choice = choice;
    this.#hasHeader.checked = table.columns > 1;
    this.#hasHeader.onchange = () => this.#restart();
    this.#column.onchange = () => this.#restart();
    this.#run.onclick = () => {
      if (this.#running) return this.stop();
      if (this.#work?.isDone) this.#restart();
      this.#start();
    };
    this.#save.onclick = () => this.#download();
    this.#changedOnly.onchange = () => this.#turn(0);
    const turn = (text: string, to: () => number) => {
      const button = element("button", { type: "button", class: "small" }, text);
      button.onclick = () => {
        this.#follow.checked = false;
        this.#turn(to());
      };
      return button;
    };
    this.#pages = [
      turn("First", () => 0),
      turn("Previous", () => this.#page - 1),
      turn("Next", () => this.#page + 1),
      turn("Last", () => this.#lastPage),
    ];
    this.#showColumns(table.likeliestColumn());
    this.#show(place, note, onSeparator);
    this.#restart();
  }

  setModel(loaded: Loaded): void {
    this.stop();
    this.#loaded = loaded;
    this.#showState();
  }

  stop(): void {
    this.#running?.abort();
  }

  get #firstRow(): number {
    return this.#hasHeader.checked ? 1 : 0;
  }

  get #columnIndex(): number {
    return Number(this.#column.value);
  }

  get #lastPage(): number {
    const rows = this.#changedOnly.checked ? this.#changed.length : (this.#work?.total ?? 0);
    return Math.max(0, Math.ceil(rows / PAGE_ROWS) - 1);
  }

  #textOf = (row: number): string => this.#table.field(row + this.#firstRow, this.#columnIndex);

  #show(place: HTMLElement, note: string, onSeparator: (separator: Separator) => void): void {
    const separator = element("select", { id: "batch-separator" });
    for (const [value, name] of Object.entries(separatorNames)) {
      separator.append(element("option", { value, selected: value === this.#table.separator }, name));
    }
    separator.onchange = () => onSeparator(separator.value as Separator);
    const heads = ["Row", "Before", "After"].map((head) => element("th", { scope: "col" }, head));
    place.hidden = false;
    place.replaceChildren(
      element("h3", { id: "batch-name" }, element("bdi", {}, this.#table.source.name)),
      element(
        "div",
        { class: "card fields" },
        labelled("Column", this.#column),
        labelled("Between columns", separator),
        check("The first row has the names", this.#hasHeader),
        ...(note ? [element("p", { class: "muted" }, note)] : []),
        element("div", { class: "actions" }, this.#run, this.#save),
        this.#bar,
        this.#said,
        this.#pace,
      ),
      element(
        "div",
        { class: "actions" },
        ...this.#pages,
        this.#pageText,
        check("Changed rows only", this.#changedOnly),
        check("Follow the work", this.#follow),
      ),
      scrollBox(
        "Rows",
        element(
          "table",
          { class: "rows" },
          element("caption", { class: "spoken" }, "Rows before and after"),
          element("thead", {}, element("tr", {}, ...heads)),
          this.#body,
        ),
      ),
    );
  }

  #showColumns(chosen: number): void {
    for (let column = 0; column < this.#table.columns; column++) {
      const named = this.#hasHeader.checked ? this.#table.field(0, column) : "";
      const text = named || `column ${column + 1}`;
      this.#column.append(element("option", { value: column, selected: column === chosen }, text));
    }
  }

  /** Another column, or other rows: what was answered is of no use. */
  #restart(): void {
    this.stop();
    this.#changed = [];
    const work: BatchRun = new BatchRun({
      rows: this.#table.rows.length - this.#firstRow,
      textOf: this.#textOf,
      answer: (text, signal) => this.#answer(text, signal),
      isOfTheRow: (error) => error instanceof GanderError && failuresOfARow.has(error.code),
      onRow: (row) => this.#onRow(work, row),
    });
    this.#work = work;
    this.#bar.max = Math.max(1, work.total);
    this.#turn(0);
    this.#showState();
  }

  async #answer(text: string, signal: AbortSignal): Promise<string> {
    const model = this.#loaded?.model;
    if (!model) throw new Error("the run began without a model");
    const answer = await model.generate(text, { ...this.#choice.options(), signal });
    return answer.text ?? text;
  }

  #onRow(work: BatchRun, row: number): void {
    if (work !== this.#work) return;
    const result = work.results[row];
    if (result && "answer" in result && result.answer !== this.#textOf(row)) this.#changed.push(row);
    this.#mustDraw = true;
  }

  async #start(): Promise<void> {
    const work = this.#work;
    if (!work || !this.#loaded) return;
    const control = new AbortController();
    const pace = new Pace();
    this.#running = control;
    hideFailure();
    const draw = () => {
      pace.sample(performance.now(), work.done);
      this.#draw(pace);
    };
    draw();
    this.#showState();
    const timer = setInterval(draw, REDRAW_MILLISECONDS);
    try {
      await work.run(control.signal);
    } catch (error) {
      showFailure(error, () => this.#start());
    } finally {
      clearInterval(timer);
      if (this.#running === control) this.#running = undefined;
      if (work === this.#work) {
        this.#mustDraw = true;
        draw();
        this.#showState();
      }
    }
  }

  #draw(pace: Pace): void {
    const work = this.#work;
    if (!work) return;
    this.#bar.value = work.done;
    const parts = [`${count(work.done)} of ${counted(work.total, "row")}`];
    const { perSecond } = pace;
    if (perSecond > 0 && this.#running) {
      parts.push(`${rate(perSecond)} rows per second`);
      if (!work.isDone) parts.push(`${duration((work.total - work.done) / perSecond)} left`);
    }
    this.#pace.textContent = parts.join(" · ");
    if (!this.#mustDraw) return;
    this.#mustDraw = false;
    if (this.#follow.checked && this.#running) {
      const rows = this.#changedOnly.checked ? this.#changed.length : work.done;
      this.#page = Math.min(this.#lastPage, Math.floor(Math.max(0, rows - 1) / PAGE_ROWS));
    }
    this.#drawRows();
  }

  #turn(page: number): void {
    this.#page = Math.max(0, Math.min(page, this.#lastPage));
    this.#drawRows();
  }

  #drawRows(): void {
    const work = this.#work;
    if (!work) return;
    const start = this.#page * PAGE_ROWS;
    const rows = this.#changedOnly.checked
      ? this.#changed.slice(start, start + PAGE_ROWS)
      : Array.from({ length: Math.min(PAGE_ROWS, work.total - start) }, (_, index) => start + index);
    this.#body.replaceChildren(...rows.map((row) => this.#row(work, row)));
    this.#pageText.textContent = `page ${count(this.#page + 1)} of ${count(this.#lastPage + 1)}`;
    for (const [index, button] of this.#pages.entries()) {
      button.disabled = index < 2 ? this.#page === 0 : this.#page >= this.#lastPage;
    }
  }

  #row(work: BatchRun, row: number): HTMLElement {
    const text = this.#textOf(row);
    const result = work.results[row];
    const cells = (before: (Node | string)[], after: (Node | string)[]) => [
      element("td", {}, element("bdi", {}, ...before)),
      element("td", {}, element("bdi", {}, ...after)),
    ];
    const number = element("th", { scope: "row" }, count(row + 1));
    if (!result) return element("tr", { class: "waiting" }, number, ...cells([text], [""]));
    if ("failure" in result) {
      return element(
        "tr",
        { class: "failed" },
        number,
        ...cells([text], [`Left as it is. ${result.failure}`]),
      );
    }
    const { before, after, isChanged } = compare(text, result.answer);
    return element("tr", { class: isChanged ? "changed" : "" }, number, ...cells(before, after));
  }

  #showState(): void {
    const work = this.#work;
    if (!work) return;
    const begun = work.done > 0;
    const next = work.isDone ? "Clean again" : begun ? "Go on" : "Clean this column";
    this.#run.textContent = this.#running ? "Stop" : next;
    this.#run.disabled = !this.#loaded || work.total === 0;
    this.#save.disabled = !begun;
    this.#bar.value = work.done;
    const failed = work.failed > 0 ? ` ${counted(work.failed, "row")} could not be answered.` : "";
    const changed = `${counted(this.#changed.length, "row")} changed.${failed}`;
    if (this.#running) say(this.#said, "Cleaning …");
    else if (!this.#loaded) say(this.#said, "The model is still on its way.");
    else if (work.isDone) say(this.#said, `Done. ${changed}`);
    else if (begun) say(this.#said, `Stopped. ${changed}`);
    else say(this.#said, `${counted(work.total, "row")} to clean.`);
    if (!begun) this.#pace.textContent = "";
  }

  async #download(): Promise<void> {
    const work = this.#work;
    if (!work) return;
    const pieces = await this.#table.write(this.#columnIndex, (row) => {
      const result = work.results[row - this.#firstRow];
      return result && "answer" in result ? result.answer : undefined;
    });
    saveFile(cleanName(this.#table.source.name), "text/csv;charset=utf-8", pieces);
  }
}

function check(text: string, control: HTMLInputElement): HTMLElement {
  return element("label", { class: "check", for: control.id }, control, ` ${text}`);
}

/** `people.csv` becomes `people.clean.csv`. */
function cleanName(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)}.clean${name.slice(dot)}` : `${name}.clean`;
}

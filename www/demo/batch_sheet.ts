// One table on the page, and the run that cleans a column of it.

import { GanderError, type GanderErrorCode } from "gander";
import { check, RowsView } from "./batch_rows.ts";
import { BatchRun, Pace } from "./batch_run.ts";
import { BatchWhy } from "./batch_why.ts";
import type { Table } from "./column.ts";
import { ColumnKeeper, type KeptColumn } from "./column_store.ts";
import type { Separator } from "./csv.ts";
import { element, labelled, say } from "./elements.ts";
import type { ExpertChoice } from "./expert_choice.ts";
import { hideFailure, showFailure } from "./failure_box.ts";
import type { Loaded } from "./loading.ts";
import { saveFile } from "./save_file.ts";
import { count, counted, duration, rate } from "./units.ts";

/** How often what moves is drawn. */
const REDRAW_MILLISECONDS = 200;

/** How often what was answered is kept. A tab that is closed in between asks those rows again. */
const KEEP_MILLISECONDS = 1000;

/** Of so many rows at most the routing is kept, evenly over the column. Of every row it would be a hundred megabytes. */
const MOST_ROUTED_ROWS = 200;

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

export interface SheetParts {
  choice: ExpertChoice;
  /** Somebody wants to know more of a row. */
  onAsk: (line: string) => void;
  onSeparator: (separator: Separator) => void;
  onRemove: () => void;
}

export class BatchSheet {
  readonly #table: Table;
  readonly #note: string;
  readonly #parts: SheetParts;
  readonly #column = element("select", { id: "batch-column" });
  readonly #hasHeader = element("input", { id: "batch-header", type: "checkbox" });
  readonly #run = element(
    "button",
    { type: "button", class: "primary", disabled: true },
    "Clean this column",
  );
  readonly #save = element("button", { type: "button", disabled: true }, "Download");
  readonly #remove = element("button", { type: "button" }, "Remove");
  readonly #bar = element("progress", { value: 0, "aria-label": "Rows done" });
  readonly #said = element("p", { class: "muted", role: "status" });
  /** Changes many times a second, so it is not read out. */
  readonly #pace = element("p", { class: "muted pace" });
  /** Whether the column is kept for the next visit. */
  readonly #kept = element("p", { class: "muted" });
  readonly #rows = new RowsView();
  readonly #why = new BatchWhy();
  #loaded: Loaded | undefined;
  #work: BatchRun | undefined;
  #keeper: ColumnKeeper | undefined;
  /** Rows whose routing is kept. */
  #routed = new Set<number>();
  #running: AbortController | undefined;
  /** Rows with another value than before, in the order in which they were done. */
  #changed: number[] = [];
  #mustDraw = false;

  /** @param kept what an earlier visit left of it */
  constructor(
    place: HTMLElement,
    table: Table,
    note: string,
    kept: KeptColumn | undefined,
    parts: SheetParts,
  ) {
    this.#table = table;
    this.#note = note;
    this.#parts = parts;
    this.#hasHeader.checked = kept?.hasHeader ?? table.columns > 1;
    this.#hasHeader.onchange = () => this.#restart();
    this.#column.onchange = () => this.#restart();
    this.#run.onclick = () => {
      if (this.#running) return this.stop();
      if (this.#work?.isDone) this.#restart();
      this.#start();
    };
    this.#save.onclick = () => this.#download();
    this.#remove.onclick = () => parts.onRemove();
    this.#showColumns(kept?.column ?? table.likeliestColumn());
    this.#show(place);
    if (kept) this.#begin(kept.keeper, kept);
    else this.#restart();
  }

  setModel(loaded: Loaded): void {
    this.stop();
    this.#loaded = loaded;
    this.#why.clear();
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

  #textOf = (row: number): string => this.#table.field(row + this.#firstRow, this.#columnIndex);

  #show(place: HTMLElement): void {
    const separator = element("select", { id: "batch-separator" });
    for (const [value, name] of Object.entries(separatorNames)) {
      separator.append(element("option", { value, selected: value === this.#table.separator }, name));
    }
    separator.onchange = () => this.#parts.onSeparator(separator.value as Separator);
    place.hidden = false;
    place.replaceChildren(
      element("h3", { id: "batch-name" }, element("bdi", {}, this.#table.source.name)),
      element(
        "div",
        { class: "card fields" },
        labelled("Column", this.#column),
        labelled("Between columns", separator),
        check("The first row has the names", this.#hasHeader),
        ...(this.#note ? [element("p", { class: "muted" }, this.#note)] : []),
        element("div", { class: "actions" }, this.#run, this.#save, this.#remove),
        this.#bar,
        this.#said,
        this.#pace,
        this.#kept,
      ),
      ...this.#rows.elements,
      this.#why.element,
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
    const { separator, source } = this.#table;
    const keeper = ColumnKeeper.begin({
      ...source,
      separator,
      note: this.#note,
      column: this.#columnIndex,
      hasHeader: this.#hasHeader.checked,
    });
    this.#begin(keeper, { results: [], routed: [] });
  }

  /** Readies a run, which may have been begun at an earlier visit. */
  #begin(keeper: ColumnKeeper, { results, routed }: Pick<KeptColumn, "results" | "routed">): void {
    this.stop();
    this.#why.clear();
    const job = {
      rows: this.#table.rows.length - this.#firstRow,
      textOf: this.#textOf,
      answer: (text: string, signal: AbortSignal, row: number) => this.#answer(work, text, signal, row),
      isOfTheRow: (error: unknown) => error instanceof GanderError && failuresOfARow.has(error.code),
      onRow: (row: number) => this.#onRow(work, row),
    };
    const work: BatchRun = new BatchRun(job, results);
    const changed = results.map(([row]) => row).filter((row) => this.#isChanged(work, row));
    this.#work = work;
    this.#keeper = keeper;
    this.#routed = new Set(routed);
    this.#changed = changed;
    this.#bar.max = Math.max(1, work.total);
    this.#rows.show({
      total: work.total,
      get done() {
        return work.done;
      },
      changed,
      textOf: this.#textOf,
      resultOf: (row) => work.results[row],
      isExplained: (row) => this.#routed.has(row),
      onWhy: (row, button) => this.#explain(row, button),
    });
    this.#showState();
    keeper.problem().then((problem) => {
      if (keeper !== this.#keeper) return;
      this.#kept.textContent = problem
        ? `The table is gone when this tab is closed: ${problem}.`
        : "The table is kept in this browser, with what was answered, until you remove it or bring another.";
    });
  }

  #isChanged(work: BatchRun, row: number): boolean {
    const result = work.results[row];
    return result !== undefined && "answer" in result && result.answer !== this.#textOf(row);
  }

  async #answer(work: BatchRun, text: string, signal: AbortSignal, row: number): Promise<string> {
    const model = this.#loaded?.model;
    if (!model) throw new Error("the run began without a model");
    const trace = row % Math.ceil(work.total / MOST_ROUTED_ROWS) === 0;
    const answer = await model.generate(text, { ...this.#parts.choice.options(), trace, signal });
    if (answer.routing && work === this.#work) {
      await this.#keeper?.addRouting(row, answer.routing);
      this.#routed.add(row);
    }
    return answer.text ?? text;
  }

  #onRow(work: BatchRun, row: number): void {
    const result = work.results[row];
    if (work !== this.#work || !result) return;
    if (this.#isChanged(work, row)) this.#changed.push(row);
    this.#keeper?.add(row, result);
    this.#mustDraw = true;
  }

  async #start(): Promise<void> {
    const work = this.#work;
    if (!work || !this.#loaded) return;
    const control = new AbortController();
    const pace = new Pace();
    const keeper = this.#keeper;
    this.#running = control;
    hideFailure();
    const draw = () => {
      pace.sample(performance.now(), work.done);
      this.#draw(pace);
    };
    draw();
    this.#showState();
    const drawing = setInterval(draw, REDRAW_MILLISECONDS);
    const keeping = setInterval(() => keeper?.flush(), KEEP_MILLISECONDS);
    try {
      await work.run(control.signal);
    } catch (error) {
      showFailure(error, () => this.#start());
    } finally {
      clearInterval(drawing);
      clearInterval(keeping);
      keeper?.flush();
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
    this.#rows.draw(this.#running !== undefined);
  }

  /** Shows the routing that was kept; of other rows, asks the line again. */
  async #explain(row: number, button: HTMLElement): Promise<void> {
    const text = this.#textOf(row);
    const result = this.#work?.results[row];
    const isRouted = this.#routed.has(row);
    const routing = isRouted ? await this.#keeper?.routingOf(row).catch(() => undefined) : undefined;
    if (routing && this.#loaded && result && "answer" in result) {
      const { answer } = result;
      this.#why.show({ row, text, answer, routing }, this.#loaded, () => button.focus());
    } else {
      this.#parts.onAsk(text);
    }
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

/** `people.csv` becomes `people.clean.csv`. */
function cleanName(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)}.clean${name.slice(dot)}` : `${name}.clean`;
}

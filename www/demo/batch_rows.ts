// The rows of a column, before and after, a page at a time.

import type { RowResult } from "./batch_run.ts";
import { compare } from "./diff_view.ts";
import { element, scrollBox } from "./elements.ts";
import { count } from "./units.ts";

/** Rows shown at once. Thousands of table rows would take seconds to lay out. */
const PAGE_ROWS = 25;

/** What there is to show. */
export interface Rows {
  total: number;
  done: number;
  /** Rows with another value than before, in the order in which they were done. */
  changed: readonly number[];
  textOf(row: number): string;
  resultOf(row: number): RowResult | undefined;
  /** Whether it can be told at once why the row became what it is. */
  isExplained(row: number): boolean;
  /** @param button to return to */
  onWhy(row: number, button: HTMLElement): void;
}

export class RowsView {
  readonly elements: HTMLElement[];
  readonly #body = element("tbody", {});
  readonly #pageText = element("span", { class: "muted" });
  readonly #changedOnly = element("input", { id: "batch-changed", type: "checkbox" });
  readonly #follow = element("input", { id: "batch-follow", type: "checkbox", checked: true });
  readonly #buttons: HTMLButtonElement[];
  #rows: Rows | undefined;
  #page = 0;
  /** The rows in view, as they were drawn. */
  #drawn = new Map<number, { result: RowResult | undefined; isExplained: boolean; element: HTMLElement }>();

  constructor() {
    this.#changedOnly.onchange = () => this.#turn(0);
    const turn = (text: string, to: () => number) => {
      const button = element("button", { type: "button", class: "small" }, text);
      button.onclick = () => {
        this.#follow.checked = false;
        this.#turn(to());
      };
      return button;
    };
    this.#buttons = [
      turn("First", () => 0),
      turn("Previous", () => this.#page - 1),
      turn("Next", () => this.#page + 1),
      turn("Last", () => this.#lastPage),
    ];
    const heads = ["Row", "Before", "After", "Why"].map((head) => element("th", { scope: "col" }, head));
    this.elements = [
      element(
        "div",
        { class: "actions" },
        ...this.#buttons,
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
    ];
  }

  /** Begins with other rows. */
  show(rows: Rows): void {
    this.#rows = rows;
    this.#drawn.clear();
    this.#turn(0);
  }

  /** What became of the rows has changed. */
  draw(isRunning: boolean): void {
    if (this.#rows && isRunning && this.#follow.checked) {
      const shown = this.#changedOnly.checked ? this.#rows.changed.length : this.#rows.done;
      this.#page = Math.min(this.#lastPage, Math.floor(Math.max(0, shown - 1) / PAGE_ROWS));
    }
    this.#drawPage();
  }

  get #lastPage(): number {
    const rows = this.#changedOnly.checked ? this.#rows?.changed.length : this.#rows?.total;
    return Math.max(0, Math.ceil((rows ?? 0) / PAGE_ROWS) - 1);
  }

  #turn(page: number): void {
    this.#page = Math.max(0, Math.min(page, this.#lastPage));
    this.#drawPage();
  }

  #drawPage(): void {
    const rows = this.#rows;
    if (!rows) return;
    const start = this.#page * PAGE_ROWS;
    const shown = this.#changedOnly.checked
      ? rows.changed.slice(start, start + PAGE_ROWS)
      : Array.from({ length: Math.min(PAGE_ROWS, rows.total - start) }, (_, index) => start + index);
    this.#place(shown.map((row) => this.#element(rows, row)));
    for (const row of this.#drawn.keys()) if (!shown.includes(row)) this.#drawn.delete(row);
    this.#pageText.textContent = `page ${count(this.#page + 1)} of ${count(this.#lastPage + 1)}`;
    for (const [index, button] of this.#buttons.entries()) {
      button.disabled = index < 2 ? this.#page === 0 : this.#page >= this.#lastPage;
    }
  }

  #place(elements: HTMLElement[]): void {
    const places = [...this.#body.children];
    for (const [index, made] of elements.entries()) {
      const place = places[index];
      if (!place) this.#body.append(made);
      else if (place !== made) place.replaceWith(made);
    }
    for (const place of places.slice(elements.length)) place.remove();
  }

  /** A row that did not change keeps its element: its button may be about to be pressed. */
  #element(rows: Rows, row: number): HTMLElement {
    const [result, isExplained] = [rows.resultOf(row), rows.isExplained(row)];
    const drawn = this.#drawn.get(row);
    if (drawn && drawn.result === result && drawn.isExplained === isExplained) return drawn.element;
    const made = rowElement(rows, row, result);
    this.#drawn.set(row, { result, isExplained, element: made });
    return made;
  }
}

function rowElement(rows: Rows, row: number, result: RowResult | undefined): HTMLElement {
  const text = rows.textOf(row);
  const made = (kind: string, before: (Node | string)[], after: (Node | string)[], why: HTMLElement[]) =>
    element(
      "tr",
      { class: kind },
      element("th", { scope: "row" }, count(row + 1)),
      element("td", {}, element("bdi", {}, ...before)),
      element("td", {}, element("bdi", {}, ...after)),
      element("td", {}, ...why),
    );
  if (!result) return made("waiting", [text], [""], []);
  if ("failure" in result) return made("failed", [text], [`Left as it is. ${result.failure}`], []);
  const { before, after, isChanged } = compare(text, result.answer);
  const why = text.trim() === "" ? [] : [whyButton(rows, row)];
  return made(isChanged ? "changed" : "", before, after, why);
}

function whyButton(rows: Rows, row: number): HTMLElement {
  const number = count(row + 1);
  const [text, name] = rows.isExplained(row)
    ? ["Why", `Why row ${number} is so`]
    : ["Ask", `Ask row ${number} again to see why`];
  const button = element("button", { type: "button", class: "small", "aria-label": name }, text);
  button.onclick = () => rows.onWhy(row, button);
  return button;
}

/** A box to tick, before its name. */
export function check(text: string, control: HTMLInputElement): HTMLElement {
  return element("label", { class: "check", for: control.id }, control, ` ${text}`);
}

// A table in memory, and the one column of it that is cleaned.

import { Breather } from "./breather.ts";
import { BYTE_ORDER_MARK, fieldOf, type Row, rowsOf, type Separator, withField } from "./csv.ts";

export interface Source {
  /** Without a byte order mark. */
  text: string;
  hasByteOrderMark: boolean;
  /** What the download is called after. */
  name: string;
}

export class Table {
  readonly source: Source;
  readonly separator: Separator;
  readonly rows: readonly Row[];

  private constructor(source: Source, separator: Separator, rows: readonly Row[]) {
    this.source = source;
    this.separator = separator;
    this.rows = rows;
  }

  static async read(source: Source, separator: Separator): Promise<Table> {
    const rows: Row[] = [];
    const breather = new Breather();
    for (const row of rowsOf(source.text, separator)) {
      rows.push(row);
      if (rows.length % 64 === 0) await breather.pause();
    }
    return new Table(source, separator, rows);
  }

  get columns(): number {
    return this.#sample().reduce((most, row) => Math.max(most, row.ends.length), 1);
  }

  field(row: number, column: number): string {
    const found = this.rows[row];
    return found ? fieldOf(found, column, this.separator) : "";
  }

  /** The column whose first fields are longest: the text, more likely than a number or a key. */
  likeliestColumn(): number {
    const lengths = Array.from({ length: this.columns }, (_, column) =>
      this.#sample().reduce((sum, row) => sum + fieldOf(row, column, this.separator).length, 0),
    );
    return lengths.indexOf(Math.max(...lengths));
  }

  /** The file again, in pieces: fields of `column` that `answerOf` has an answer for are new, all else is as it was. */
  async write(column: number, answerOf: (row: number) => string | undefined): Promise<string[]> {
    const pieces = this.source.hasByteOrderMark ? [BYTE_ORDER_MARK] : [];
    const breather = new Breather();
    for (const [index, row] of this.rows.entries()) {
      const answer = answerOf(index);
      pieces.push(
        answer === undefined ? row.text + row.lineEnd : withField(row, column, this.separator, answer),
      );
      if (index % 64 === 0) await breather.pause();
    }
    return pieces;
  }

  #sample(): readonly Row[] {
    return this.rows.slice(0, 200);
  }
}

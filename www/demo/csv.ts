// Tables as text, read so that they can be written again to the byte: a row remembers its own text, and only the fields
// that get a new value are written anew. RFC 4180, and what spreadsheets make of it.

/** Between fields. Empty: there are no columns, and quotes are signs like any other. */
export type Separator = "," | ";" | "\t" | "|" | "";

export const BYTE_ORDER_MARK = "\uFEFF";

export interface Row {
  /** As it stood in the file, without the end of its line. */
  text: string;
  /** Where each field ends in `text`; between two fields is one separator. */
  ends: number[];
  /** The end of its line: CR LF, LF, CR, or nothing at the end of the file. */
  lineEnd: string;
}

/** The rows of a text without a byte order mark, one by one. A quote that is never closed is a sign like any other. */
export function* rowsOf(text: string, separator: Separator): Generator<Row> {
  const stop =
    separator === "" ? /[\r\n]/g : new RegExp(`[\\r\\n${separator === "|" ? "\\|" : separator}]`, "g");
  let place = 0;
  while (place < text.length) {
    const start = place;
    const ends: number[] = [];
    for (;;) {
      stop.lastIndex = separator === "" ? place : endOfQuotes(text, place);
      place = stop.exec(text)?.index ?? text.length;
      ends.push(place - start);
      if (text[place] !== separator) break;
      place++;
    }
    const lineEnd = text.startsWith("\r\n", place) ? "\r\n" : text.slice(place, place + 1);
    yield { text: text.slice(start, place), ends, lineEnd };
    place += lineEnd.length;
  }
}

/** Behind the closing quote of a field that begins at `place`; `place` itself where it has none. */
function endOfQuotes(text: string, place: number): number {
  if (text[place] !== '"') return place;
  for (let end = text.indexOf('"', place + 1); end >= 0; end = text.indexOf('"', end + 2)) {
    if (text[end + 1] !== '"') return end + 1;
  }
  return place;
}

/** A field as it stands in the file; undefined where the row is too short. */
function writtenField({ text, ends }: Row, column: number): string | undefined {
  const end = ends[column];
  if (end === undefined) return undefined;
  return text.slice(column === 0 ? 0 : (ends[column - 1] ?? 0) + 1, end);
}

/** What a field says, without the quotes around it; empty where the row is too short. */
export function fieldOf(row: Row, column: number, separator: Separator): string {
  const written = writtenField(row, column) ?? "";
  return separator !== "" && isQuoted(written) ? written.slice(1, -1).replaceAll('""', '"') : written;
}

function isQuoted(written: string): boolean {
  return written[0] === '"' && endOfQuotes(written, 0) === written.length;
}

/** The row with another value in one field, line end included. The same value, or a field that is not there, changes nothing. */
export function withField(row: Row, column: number, separator: Separator, value: string): string {
  const written = writtenField(row, column);
  if (written === undefined || fieldOf(row, column, separator) === value) return row.text + row.lineEnd;
  const end = row.ends[column] ?? 0;
  const field = writeField(value, separator, isQuoted(written));
  return row.text.slice(0, end - written.length) + field + row.text.slice(end) + row.lineEnd;
}

function writeField(value: string, separator: Separator, quoteAlways: boolean): string {
  // Without columns there is no way to write a line break, so a row stays a row.
  if (separator === "") return value.replace(/[\r\n]+/g, " ");
  const mustQuote = quoteAlways || value.includes(separator) || /["\r\n]/.test(value);
  return mustQuote ? `"${value.replaceAll('"', '""')}"` : value;
}

/** So many rows are looked at to find the separator. */
const SAMPLE_ROWS = 50;

/** The separator that gives nearly all of the first rows the same number of columns, above one; the most columns win. */
export function guessSeparator(text: string, fileName = ""): Separator {
  const isTable = /\.(csv|tsv|tab)$/i.test(fileName);
  let best: { separator: Separator; columns: number } = {
    separator: /\.csv$/i.test(fileName) ? "," : "",
    columns: 1,
  };
  for (const separator of ["\t", ",", ";", "|"] as const) {
    const widths = firstRows(text, separator, SAMPLE_ROWS)
      .filter((row) => row.text !== "")
      .map((row) => row.ends.length);
    const columns = widths.toSorted((a, b) => a - b)[Math.floor(widths.length / 2)] ?? 1;
    const agreeing = widths.filter((width) => width === columns).length;
    // A single line with a comma is a sentence, unless the file says that it is a table.
    const isEnough = widths.length > 1 || isTable || separator === "\t";
    if (isEnough && columns > best.columns && agreeing >= 0.9 * widths.length) best = { separator, columns };
  }
  return best.separator;
}

export function firstRows(text: string, separator: Separator, most: number): Row[] {
  const rows: Row[] = [];
  for (const row of rowsOf(text, separator)) {
    rows.push(row);
    if (rows.length === most) break;
  }
  return rows;
}

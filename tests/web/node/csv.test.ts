import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Table } from "../../../www/demo/column.ts";
import { fieldOf, guessSeparator, rowsOf, type Separator, withField } from "../../../www/demo/csv.ts";
import { decodeText } from "../../../www/demo/text_file.ts";

const fields = (text: string, separator: Separator) =>
  [...rowsOf(text, separator)].map((row) => row.ends.map((_, column) => fieldOf(row, column, separator)));

const read = (text: string, separator: Separator, hasByteOrderMark = false) =>
  Table.read({ text, hasByteOrderMark, name: "t.csv" }, separator);

describe("a table is read", () => {
  for (const [what, text, separator, expected] of [
    [
      "with plain fields",
      "a,b\nc,d\n",
      ",",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "with Windows' line ends",
      "a;b\r\nc;d",
      ";",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["with old Macs' line ends", "a\rb\r", "", [["a"], ["b"]]],
    [
      "with separators, quotes and line breaks in quotes",
      '"a,1","say ""hi""","x\r\ny"\nb,,\n',
      ",",
      [
        ["a,1", 'say "hi"', "x\r\ny"],
        ["b", "", ""],
      ],
    ],
    ["with empty lines", "a\n\nb\n", ",", [["a"], [""], ["b"]]],
    ["with a quote inside a field", 'a 5" pipe,b\n', ",", [['a 5" pipe', "b"]]],
    [
      "with a quote that is never closed",
      '"a,b\nc,d\n',
      ",",
      [
        ['"a', "b"],
        ["c", "d"],
      ],
    ],
    ["with something behind a closing quote", '"a"x,b\n', ",", [['"a"x', "b"]]],
    ["with a separator at its end", "a,", ",", [["a", ""]]],
    ["with quotes that mean nothing, line by line", '"a, b"\nc', "", [['"a, b"'], ["c"]]],
    ["with tabs", "a\tb\n", "\t", [["a", "b"]]],
    ["with bars", "a|b\n", "|", [["a", "b"]]],
    ["without anything", "", ",", []],
  ] as const) {
    test(what, () => assert.deepEqual(fields(text, separator), expected));
  }
});

describe("a table is written", () => {
  const awkward = '\r\nid;text;"note"\r\n1;" a ";"x;y"\n2;b"c;\r3;"never closed;z\r\n\n4;d';

  for (const separator of [",", ";", "\t", "|", ""] as const) {
    test(`to the byte as it was, where nothing changed (separator ${JSON.stringify(separator)})`, async () => {
      const table = await read(awkward, separator, true);
      for (let column = 0; column < table.columns; column++) {
        const same = await table.write(column, (row) => table.field(row, column));
        assert.equal(same.join(""), `\uFEFF${awkward}`);
      }
    });
  }

  test("with the new values in their column, and every other byte as it was", async () => {
    const table = await read('id,"when", note\r\n1,"3rd of May",  "x" \r\n2,soon,"a ""b"""\n3', ",");
    const answers = ["when", "2021-05-03", 'on "it", now', "nothing to change"];
    const written = await table.write(1, (row) => answers[row]);
    assert.equal(
      written.join(""),
      'id,"when", note\r\n1,"2021-05-03",  "x" \r\n2,"on ""it"", now","a ""b"""\n3',
    );
  });

  test("with the old value where there is no answer", async () => {
    const table = await read("a\nb\nc\n", "");
    assert.equal((await table.write(0, (row) => (row === 1 ? "B" : undefined))).join(""), "a\nB\nc\n");
  });

  test("with one line a row, whatever an answer has in it", () => {
    const [row] = rowsOf("a\n", "");
    assert.ok(row);
    assert.equal(withField(row, 0, "", "x\ny"), "x y\n");
    const [quotable] = rowsOf("a,b\n", ",");
    assert.ok(quotable);
    assert.equal(withField(quotable, 0, ",", "x\ny"), '"x\ny",b\n');
  });

  test("and what is written is read as the values that went in", async () => {
    const values = ["", '"', '""', ",", "\n", "\r\n", " a ", 'x"y', ";", "=1+1", "𝔘nicode", "\t"];
    for (const separator of [",", ";", "\t", "|"] as const) {
      const table = await read(`k${separator}v\n`.repeat(values.length), separator);
      const written = (await table.write(1, (row) => values[row])).join("");
      assert.deepEqual(
        fields(written, separator),
        values.map((value) => ["k", value]),
      );
    }
  });
});

test("the separator is the one that the rows agree on", () => {
  assert.equal(guessSeparator("a,b;c\nd,e\nf,g;h;i\n"), ",");
  assert.equal(guessSeparator("name;price\nx;1,50\ny;2,75\n"), ";");
  assert.equal(guessSeparator("a\tb, c\nd\te\n"), "\t");
  assert.equal(guessSeparator("a|b\nc|d\n"), "|");
  assert.equal(guessSeparator('"a,b",c\n"d",e\n'), ",");
  assert.equal(guessSeparator("Hello, world"), "");
  assert.equal(guessSeparator("Hello, world\nhow are you\nfine\n"), "");
  assert.equal(guessSeparator("name,price\n", "one.csv"), ",");
  assert.equal(guessSeparator('"one\ncolumn"\n', "one.csv"), ",");
  assert.equal(guessSeparator(""), "");
});

test("a column is as likely the text as its fields are long", async () => {
  assert.equal((await read("1,meet me on the 3rd,x\n2,call Anna,y\n", ",")).likeliestColumn(), 1);
});

describe("the encoding of a file is found", () => {
  const bytes = (...parts: (number[] | string)[]) =>
    Uint8Array.from(
      parts.flatMap((part) => (typeof part === "string" ? [...new TextEncoder().encode(part)] : part)),
    );

  for (const [what, file, text, encoding, hasByteOrderMark] of [
    ["UTF-8", bytes("Zürich €"), "Zürich €", "UTF-8", false],
    ["UTF-8 with a byte order mark", bytes([0xef, 0xbb, 0xbf], "é"), "é", "UTF-8", true],
    ["UTF-16, as Excel writes it", bytes([0xff, 0xfe, 0xe9, 0, 0x0a, 0]), "é\n", "UTF-16", true],
    ["UTF-16 the other way round", bytes([0xfe, 0xff, 0, 0xe9]), "é", "UTF-16", true],
    ["Windows-1252", bytes([0x5a, 0xfc]), "Zü", "Windows-1252", false],
  ] as const) {
    test(what, () => assert.deepEqual(decodeText(file), { text, encoding, hasByteOrderMark }));
  }
});

// The explanation API on traces made by hand.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type RoutedChoice, RoutingTrace } from "../../../www/src/index.ts";
import { noPlace, packRouting } from "../../../www/src/packed_routing.ts";
import { packTrace } from "../../../www/src/trace_data.ts";

const layers = ["decoder.block.0.layer.0.SelfAttention.q", "decoder.block.0.layer.2.DenseReluDense.wo"];

/** One choice in each of two layers for every text: `[expert, weight, expert, weight]`, the same in both. */
function traceOf(written: [text: string | null, ...chosen: (string | number)[]][]): RoutingTrace {
  const choices = written.flatMap(([, ...chosen], token) =>
    layers.map((module): RoutedChoice => {
      const experts = chosen.filter((entry) => typeof entry === "string");
      const weights = chosen.filter((entry) => typeof entry === "number");
      return { module, token, experts, weights };
    }),
  );
  const tokens = written.map(([text], id) => ({ id, text }));
  return RoutingTrace.fromChoices(choices, [], tokens);
}

const invoice = () =>
  traceOf([
    ["of", "money", 0.75, "date", 0.25],
    ["", "date", 1],
    [" 2021", "date", 0.75, "money", 0.25],
    ["-02", "money", 0.5, "date", 0.5],
    ["", "roman", 1],
  ]);

describe("a routing trace", () => {
  test("keeps every choice as numbers, and gives it back by name", () => {
    const choices: RoutedChoice[] = [
      {
        module: "encoder.block.0.layer.0.SelfAttention.q",
        token: 0,
        experts: ["a", "b"],
        weights: [0.75, 0.25],
      },
      { module: "encoder.block.0.layer.0.SelfAttention.q", token: 1, experts: ["b"], weights: [1] },
      { module: "decoder.block.0.layer.1.EncDecAttention.k", token: 0, experts: ["c"], weights: [1] },
      { module: "decoder.block.0.layer.1.EncDecAttention.k", token: 1, experts: [], weights: [] },
      { module: "decoder.block.0.layer.1.EncDecAttention.q", token: 0, experts: ["a"], weights: [1] },
    ];
    const tokens = [
      { id: 7, text: "x" },
      { id: 8, text: "y" },
    ];
    const trace = RoutingTrace.fromChoices(choices.toReversed(), tokens, tokens.slice(0, 1));
    const byPlace = (list: Iterable<RoutedChoice>) =>
      [...list].toSorted((a, b) => a.module.localeCompare(b.module) || a.token - b.token);
    assert.deepEqual(byPlace(trace), byPlace(choices));
    assert.equal(trace.input.modules.length, 2, "the keys of cross-attention belong to the input");
    assert.equal(trace.input.topK, 2);
    assert.equal(trace.output.topK, 1);
    assert.ok(trace.input.choices instanceof Uint16Array && trace.input.weights instanceof Float32Array);
  });

  test("answers by token, by layer and by expert", () => {
    const { output } = invoice();
    assert.deepEqual(output.byToken(0), [
      { expert: "money", share: 0.75 },
      { expert: "date", share: 0.25 },
    ]);
    assert.deepEqual(output.byModule(0), output.shares(), "both layers chose alike");
    const { share, byToken, byModule } = output.byExpert("date");
    assert.equal(share, 0.5);
    assert.deepEqual([...byToken], [0.25, 1, 0.75, 0.5, 0]);
    assert.deepEqual([...byModule], [0.5, 0.5]);
    assert.equal(output.byExpert("unheard of").share, 0);
    assert.deepEqual(output.runnersUpAt(2, 1), [], "choices say nothing of others");
  });

  test("tells who would have been next, and counts them in nothing", () => {
    const packed = (firstToken: number, choices: number[], weights: number[]) =>
      packRouting(layers, { firstToken, tokens: 1, topK: 1, runnersUp: 2, choices, weights });
    const none = noPlace;
    const parts = [
      packed(0, [2, 0, 1, 0, 2, none], [1, 0.25, 0.125, 1, 0.5, 0]),
      packed(1, [none, 1, none, 0, none, none], [0, 0.5, 0, 1, 0, 0]),
    ];
    const tokens = ["x", "y"].map((text, id) => ({ id, text }));
    const trace = new RoutingTrace(packTrace(parts, ["a", "b", "c"], [], tokens));
    assert.deepEqual(trace.experts, ["c", "a", "b"], "the chosen first, in the order of their choice");
    for (const { output } of [trace, RoutingTrace.fromJSON(JSON.parse(JSON.stringify(trace)))]) {
      const next = [0, 1].map((token) => [0, 1].map((module) => output.runnersUpAt(token, module)));
      assert.deepEqual(next, [
        [
          [
            { expert: "a", weight: 0.25 },
            { expert: "b", weight: 0.125 },
          ],
          [{ expert: "c", weight: 0.5 }],
        ],
        [[{ expert: "b", weight: 0.5 }], []],
      ]);
      assert.deepEqual(output.at(0, 0), [{ expert: "c", weight: 1 }]);
      assert.deepEqual(output.at(1, 0), [], "the base alone");
      assert.equal(output.byExpert("b").share, 0);
      assert.deepEqual(output.shares(), [
        { expert: "a", share: 2 / 3 },
        { expert: "c", share: 1 / 3 },
      ]);
    }
  });

  test("measures entropy in bits", () => {
    const { output } = invoice();
    assert.equal(output.entropy({ tokens: [1] }), 0);
    assert.equal(output.entropy({ tokens: [3] }), 1);
    const quarter = -(0.25 * Math.log2(0.25) + 0.75 * Math.log2(0.75));
    assert.ok(Math.abs(output.entropy({ tokens: [0], modules: [1] }) - quarter) < 1e-12);
  });

  test("without any choice is empty, not broken", () => {
    const trace = RoutingTrace.fromChoices([], [{ id: 1, text: "x" }], [{ id: 1, text: "x" }]);
    assert.deepEqual([...trace], []);
    assert.deepEqual(trace.output.shares(), []);
    assert.equal(trace.output.entropy(), 0);
    assert.equal(trace.output.bestAt(0, 0), -1);
    assert.equal(trace.explain()[0]?.sentence, "the base model wrote “x” alone");
  });
});

describe("explain", () => {
  test("joins the words that one expert has the most of, and leaves an end token out", () => {
    assert.deepEqual(
      invoice()
        .explain()
        .map(({ sentence, firstToken, endToken }) => [sentence, firstToken, endToken]),
      [
        ["the money expert wrote “of”: 75 % of its routed weight", 0, 1],
        ["the date expert wrote “2021-02”: 75 % of its routed weight", 1, 4],
      ],
    );
  });

  test("can go token by token", () => {
    const parts = invoice().explain({ by: "token", nameOf: (id) => id.toUpperCase() });
    assert.deepEqual(
      parts.map(({ sentence }) => sentence),
      [
        "MONEY wrote “of”: 75 % of its routed weight",
        // Of two with the same share, the one that was chosen first anywhere.
        "DATE wrote “2021”: 88 % of its routed weight",
        "MONEY wrote “-02”: 50 % of its routed weight",
      ],
    );
  });

  test("says who else had a part, and that less than half is not all", () => {
    const trace = traceOf([["it", "a", 0.4, "b", 0.35, "c", 0.25]]);
    const [part] = trace.explain();
    assert.equal(part?.sentence, "the a expert led “it” with 40 % of its routed weight");
    assert.deepEqual(
      part?.others.map(({ expert }) => expert),
      ["b", "c"],
    );
  });

  test("shows ids where there are no texts", () => {
    assert.equal(traceOf([[null, "a", 1]]).explain()[0]?.text, "[0]");
  });
});

describe("as files", () => {
  const hostile = () =>
    traceOf([
      ['",\r\n<b>', "=cmd|' /C calc'!A0", 0.7, "__proto__", 0.3],
      ["é\u0000", "__proto__", 1],
    ]);

  for (const [what, make] of [
    ["plain", invoice],
    ["hostile", hostile],
    ["empty", () => traceOf([])],
  ] as const) {
    test(`a ${what} trace comes back from JSON as it was`, () => {
      const trace = make();
      const again = RoutingTrace.fromJSON(JSON.parse(JSON.stringify(trace)));
      assert.deepEqual(again, trace);
    });

    test(`a ${what} trace's CSV has every choice, and reads back`, () => {
      const trace = make();
      const [head, ...rows] = parseCsv(trace.toCsv());
      assert.deepEqual(head, ["side", "token", "token_id", "text", "module", "rank", "expert", "weight"]);
      const expected = [...trace].flatMap(({ module, token, experts, weights }) =>
        experts.map((expert, rank) => {
          const { id, text } = trace.output.tokens[token] ?? {};
          return ["output", String(token), String(id), text, module, String(rank + 1), expert, weights[rank]];
        }),
      );
      assert.deepEqual(
        rows.map((row) => row.with(7, Math.fround(Number(row[7])) as never)),
        expected,
      );
    });
  }

  for (const [what, damage, place] of [
    ["no trace", () => "text", "trace"],
    ["of another format", (json) => ({ ...json, format: "x" }), "format"],
    ["of a version to come", (json) => ({ ...json, version: "2.0" }), "version"],
    ["short of a number", (json) => ({ ...json, output: { ...json.output, weights: [] } }), "output.weights"],
    ["with an expert too many", (json) => ({ ...json, experts: ["date"] }), "output.choices"],
    [
      "with a weight of 2",
      (json) => ({ ...json, output: { ...json.output, weights: json.output.weights.map(() => 2) } }),
      "output.weights[0]",
    ],
    ["with a negative topK", (json) => ({ ...json, input: { ...json.input, topK: -1 } }), "input.topK"],
    [
      "with a token without id",
      (json) => ({ ...json, input: { ...json.input, tokens: [{}] } }),
      "input.tokens[0]",
    ],
  ] as [string, (json: { output: { weights: number[] }; input: object }) => unknown, string][]) {
    test(`JSON that is ${what} is refused by name`, () => {
      const json = JSON.parse(JSON.stringify(invoice()));
      assert.throws(
        () => RoutingTrace.fromJSON(damage(json)),
        (error: { code: string; place: string }) =>
          error.code === "invalid-file" && error.place.startsWith(`routing trace, ${place}`),
      );
    });
  }
});

/** RFC 4180, as a spreadsheet reads it. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    row.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end === "\r\n") {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}

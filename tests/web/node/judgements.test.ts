import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  byExpert,
  disputedInputs,
  exportLine,
  helpfulRate,
  type Judgement,
  overTime,
} from "../../../www/demo/judgements.ts";

function judgement(changes: Partial<Judgement> = {}): Judgement {
  return {
    time: new Date(2026, 10, 24, 12).getTime(),
    input: "3rd of May 2021",
    answer: "2021-05-03",
    helpful: true,
    correction: "",
    note: "",
    shares: [
      { expert: "date", share: 0.75 },
      { expert: "time", share: 0.25 },
    ],
    excluded: [],
    catalogue: "https://example.org/catalog.json",
    base: "sha256:abc",
    device: "cpu",
    stats: {
      tokens: 7,
      milliseconds: 70,
      firstTokenMilliseconds: 10,
      passes: 8,
      pagesWanted: 2,
      bytesWanted: 128,
      pagesPrefetched: 0,
      bytesPrefetched: 0,
      pagesPrefetchedWanted: 0,
      pagesFetched: 1,
      bytesFetched: 64,
      pagesFromCache: 1,
      bytesFromCache: 64,
      waitMilliseconds: 5,
      pagesSkipped: 0,
    },
    ...changes,
  };
}

/** The figures are those of Wilson's formula, worked out apart from this code. */
test("the helpful rate has Wilson's interval", () => {
  const rate = (helpful: number, of: number) => {
    const { low, high } = helpfulRate(
      Array.from({ length: of }, (_, index) => judgement({ helpful: index < helpful })),
    );
    return [low, high].map((value) => Number(value.toFixed(4)));
  };
  assert.deepEqual(rate(8, 10), [0.4902, 0.9433]);
  assert.deepEqual(rate(0, 5), [0, 0.4345]);
  assert.deepEqual(rate(5, 5), [0.5655, 1]);
  assert.deepEqual(rate(50, 100), [0.4038, 0.5962]);
  assert.deepEqual(rate(0, 0), [0, 1]);
});

test("experts are judged by the answers that they led, and share is over all answers", () => {
  const led = (expert: string, helpful: boolean, input: string) =>
    judgement({
      helpful,
      input,
      shares: [
        { expert, share: 0.6 },
        { expert: expert === "date" ? "time" : "date", share: 0.4 },
      ],
    });
  const verdicts = byExpert([
    led("date", true, "a"),
    led("date", false, "a"),
    led("date", true, "b"),
    led("time", false, "c"),
  ]);
  assert.deepEqual(
    verdicts.map(({ expert, led: { of, rate }, share, disagreements }) => [
      expert,
      of,
      rate,
      Number(share.toFixed(3)),
      disagreements,
    ]),
    [
      ["date", 3, 2 / 3, 0.55, 1],
      ["time", 1, 0, 0.45, 0],
    ],
  );
});

test("a line is disputed if it was judged both ways, or has two right answers", () => {
  const disputed = disputedInputs([
    judgement({ input: "agreed" }),
    judgement({ input: "agreed" }),
    judgement({ input: "both ways" }),
    judgement({ input: "both ways", helpful: false }),
    judgement({ input: "two answers", helpful: false, correction: "x" }),
    judgement({ input: "two answers", helpful: false, correction: "y" }),
    judgement({ input: "no answer", helpful: false }),
  ]);
  assert.deepEqual([...disputed], ["both ways", "two answers"]);
});

describe("time goes", () => {
  const on = (month: number, day: number) =>
    judgement({ time: new Date(2026, month, day, 23, 59).getTime() });

  test("by days, the oldest first", () => {
    const periods = overTime([on(10, 24), on(10, 3), on(10, 24)]);
    assert.deepEqual(
      periods.map(({ name, helpful }) => [name, helpful.of]),
      [
        ["2026-11-03", 1],
        ["2026-11-24", 2],
      ],
    );
  });

  test("by months where the days are many", () => {
    const periods = overTime(Array.from({ length: 40 }, (_, index) => on(0, 1 + index)));
    assert.deepEqual(
      periods.map(({ name, helpful }) => [name, helpful.of]),
      [
        ["2026-01", 31],
        ["2026-02", 9],
      ],
    );
  });
});

describe("an exported line", () => {
  const routing = [
    { module: "decoder.block.0.layer.0.SelfAttention.q", token: 0, experts: ["date"], weights: [1] },
  ];
  const exported = (changes: Partial<Judgement>) => {
    const line = exportLine(judgement(changes), routing);
    assert.match(line, /^[^\n]+\n$/);
    return JSON.parse(line);
  };

  test("has the answer as its target where it was helpful", () => {
    const line = exported({ note: "two\nlines" });
    assert.equal(line.input, "3rd of May 2021");
    assert.deepEqual(line.targets, ["2021-05-03"]);
    assert.equal(line.answer, "2021-05-03");
    assert.equal(line.helpful, true);
    assert.equal(line.note, "two\nlines");
    assert.deepEqual(line.routing, routing);
  });

  test("has the correction as its target where there is one", () => {
    assert.deepEqual(exported({ helpful: false, correction: "2021-05-04" }).targets, ["2021-05-04"]);
    assert.deepEqual(exported({ helpful: true, correction: "2021-05-04" }).targets, ["2021-05-04"]);
  });

  test("has no target where nobody said what is right", () => {
    assert.ok(!("targets" in exported({ helpful: false })));
  });
});

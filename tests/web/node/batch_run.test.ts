import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { type BatchJob, BatchRun, Pace, type RowResult } from "../../../www/demo/batch_run.ts";

class RowFailure extends Error {}

let asked: string[];
let mostAtOnce: number;
let atOnce: number;
/** Whether an answer waits for its own signal to fire. */
let waits: boolean;

beforeEach(() => {
  asked = [];
  mostAtOnce = 0;
  atOnce = 0;
  waits = false;
});

async function answer(text: string, signal: AbortSignal): Promise<string> {
  asked.push(text);
  atOnce++;
  mostAtOnce = Math.max(mostAtOnce, atOnce);
  try {
    if (waits)
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    await new Promise((resolve) => setTimeout(resolve));
    if (text.includes("odd")) throw new RowFailure("it is odd");
    if (text.includes("broken")) throw new Error("the network is gone");
    return text.toUpperCase();
  } finally {
    atOnce--;
  }
}

function runOf(
  texts: readonly string[],
  job: Partial<BatchJob> = {},
  before: [row: number, result: RowResult][] = [],
): BatchRun {
  const whole: BatchJob = {
    rows: texts.length,
    textOf: (row) => texts[row] ?? "",
    answer,
    isOfTheRow: (error) => error instanceof RowFailure,
    onRow: () => {},
    ...job,
  };
  return new BatchRun(whole, before);
}

const never = () => new AbortController().signal;
const answersOf = (run: BatchRun) =>
  run.results.map((result) => (result && "answer" in result ? result.answer : result));

describe("a batch", () => {
  test("goes on where an earlier run ended, and asks nothing again that is known", async () => {
    const texts = ["a", "odd", "b", "a", "c"];
    const before: [number, RowResult][] = [
      [0, { answer: "A" }],
      [1, { failure: "it is odd" }],
      [9, { answer: "of a longer table" }],
    ];
    const run = runOf(texts, {}, before);
    assert.deepEqual([run.done, run.failed], [2, 1]);
    await run.run(never());
    assert.deepEqual(answersOf(run), ["A", { failure: "it is odd" }, "B", "A", "C"]);
    assert.deepEqual(asked, ["b", "c"]);
    assert.ok(run.isDone);
  });

  test("answers every row, two at a time, and each text once", async () => {
    const run = runOf(["a", "b", "a", "", "  ", "b", "c"]);
    await run.run(never());
    assert.deepEqual(answersOf(run), ["A", "B", "A", "", "  ", "B", "C"]);
    assert.deepEqual(asked, ["a", "b", "c"]);
    assert.equal(mostAtOnce, 2);
    assert.ok(run.isDone);
  });

  test("stops at once and goes on where it was", async () => {
    const texts = Array.from({ length: 100 }, (_, row) => `row ${row}`);
    const control = new AbortController();
    const run = runOf(texts, { onRow: () => run.done === 10 && control.abort() });
    await run.run(control.signal);
    assert.ok(run.done >= 10 && run.done <= 12, `${run.done} rows`);
    assert.ok(!run.isDone);
    waits = true;
    const second = new AbortController();
    const waiting = run.run(second.signal);
    await new Promise((resolve) => setTimeout(resolve, 5));
    second.abort();
    await waiting;
    waits = false;
    await run.run(never());
    assert.ok(run.isDone);
    assert.deepEqual(
      answersOf(run),
      texts.map((text) => text.toUpperCase()),
    );
  });

  test("that is stopped before it began asks nothing", async () => {
    const run = runOf(["a"]);
    await run.run(AbortSignal.abort());
    assert.equal(run.done, 0);
    assert.deepEqual(asked, []);
  });

  test("leaves a row that has no answer, and goes on", async () => {
    const run = runOf(["a", "odd", "b"]);
    await run.run(never());
    assert.deepEqual(answersOf(run), ["A", { failure: "it is odd" }, "B"]);
    assert.equal(run.failed, 1);
    assert.ok(run.isDone);
  });

  test("ends with what would fail the other rows too, and no row is lost", async () => {
    let text = "broken";
    const run = runOf(["a", "?", "b", "c"], {
      textOf: (row) => (row === 1 ? text : (["a", "", "b", "c"][row] ?? "")),
    });
    await assert.rejects(run.run(never()), /the network is gone/);
    assert.equal(run.results[1], undefined);
    text = "mended";
    await run.run(never());
    assert.deepEqual(answersOf(run), ["A", "MENDED", "B", "C"]);
  });
});

test("the pace is that of the last seconds", () => {
  const pace = new Pace(10_000);
  assert.equal(pace.perSecond, 0);
  for (let second = 0; second <= 60; second++)
    pace.sample(second * 1000, second <= 30 ? 0 : (second - 30) * 5);
  assert.equal(pace.perSecond, 5);
});

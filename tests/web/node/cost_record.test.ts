import assert from "node:assert/strict";
import { test } from "node:test";
import { CostRecord } from "../../../www/demo/cost_record.ts";

test("reports become downloads with their times, and pages of the same experts may come again", () => {
  let now = 1000;
  const record = new CostRecord(() => now);
  const report = (
    time: number,
    phase: "base" | "pages",
    file: string,
    loaded: number,
    total: number | null,
  ) => {
    now = 1000 + time;
    record.report({ phase, file, loaded, total });
  };
  report(0, "base", "base.gguf", 0, null);
  report(10, "pages", "date, time", 0, 200);
  report(20, "base", "base.gguf", 500, 500);
  report(30, "pages", "date, time", 100, 200);
  report(40, "pages", "date, time", 200, 200);
  now = 1050;
  record.token();
  report(60, "pages", "date, time", 0, 50);
  report(70, "pages", "date, time", 25, 50);

  const rows = record.transfers.map(({ what, start, end, bytes, isComplete }) => [
    what.join("+"),
    start,
    end,
    bytes,
    isComplete,
  ]);
  assert.deepEqual(rows, [
    ["base.gguf", 0, 20, 500, true],
    ["date+time", 10, 40, 200, true],
    ["date+time", 60, 70, 25, false],
  ]);
  assert.deepEqual(record.tokens, [50]);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Expert } from "gander";
import {
  figureNames,
  figuresOf,
  isBelow,
  isRate,
  search,
  sorted,
} from "../../../www/demo/catalogue_rules.ts";
import { ExpertChoice } from "../../../www/demo/expert_choice.ts";

function expert(id: string, changes: Partial<Expert> = {}): Expert {
  const texts = {
    title: id.toUpperCase(),
    description: "",
    licence: "CC0-1.0",
    source: "",
    tags: [],
    catalog: "tests",
  };
  return { id, ...texts, evaluation: {}, bytes: 100, pages: 1, ...changes };
}

const dates = expert("dates", {
  evaluation: { exact: 0.8, lines: 200, note: "good" },
  description: "ISO days",
});
const times = expert("times", { evaluation: { exact: 0.4 }, tags: ["ISO"], bytes: 300 });
const other = expert("other", { bytes: 200 });
const all = [other, times, dates];
const ids = (experts: readonly Expert[]) => experts.map(({ id }) => id);

test("experts are found by words in any of their texts", () => {
  assert.deepEqual(ids(search(all, "iso")), ["times", "dates"]);
  assert.deepEqual(ids(search(all, " ISO  day ")), ["dates"]);
  assert.deepEqual(ids(search(all, "")), ["other", "times", "dates"]);
  assert.deepEqual(ids(search(all, "none such")), []);
});

test("experts are put in order by name, size, use and figure; those without the figure come last", () => {
  const order = (by: string) => ids(sorted(all, by, (id) => (id === "times" ? 0.9 : 0)));
  assert.deepEqual(order("title"), ["dates", "other", "times"]);
  assert.deepEqual(order("size"), ["times", "other", "dates"]);
  assert.deepEqual(order("chosen"), ["times", "dates", "other"]);
  assert.deepEqual(order("figure:exact"), ["dates", "times", "other"]);
});

test("figures are the numbers of an evaluation, whatever else is in it", () => {
  assert.deepEqual(figuresOf(dates), [
    ["exact", 0.8],
    ["lines", 200],
  ]);
  const hostile: unknown[] = [null, "text", 7, [1], { a: Number.NaN, b: {}, c: "1", d: null }];
  for (const evaluation of hostile) {
    const figures = figuresOf(expert("x", { evaluation: evaluation as Expert["evaluation"] }));
    assert.ok(figures.every(([, value]) => Number.isFinite(value)));
  }
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`f${index}`, index]));
  assert.equal(figuresOf(expert("x", { evaluation: many })).length, 12);
  assert.deepEqual(figureNames(all), ["exact", "lines"]);
  assert.ok(isRate(all, "exact"));
  assert.ok(!isRate(all, "lines"));
});

test("a rule is about a figure: who does not have it is not judged by it", () => {
  const rule = { figure: "exact", least: 0.5 };
  assert.deepEqual(ids(all.filter((one) => isBelow(one, rule))), ["times"]);
  assert.ok(!isBelow(times, undefined));
});

describe("the choice of experts", () => {
  const choose = () => {
    const choice = new ExpertChoice();
    choice.reset(all);
    return choice;
  };

  test("leaves out those switched off and those below the figure", () => {
    const choice = choose();
    assert.deepEqual(choice.options(), {});
    choice.switchOn("other", false);
    choice.rule = { figure: "exact", least: 0.5 };
    assert.deepEqual(choice.options(), { exclude: ["other", "times"] });
    choice.switchOn("other", true);
    choice.rule = undefined;
    assert.deepEqual(choice.options(), {});
  });

  test("with nobody left, the base answers alone", () => {
    const choice = choose();
    for (const { id } of all) choice.switchOn(id, false);
    assert.deepEqual(choice.options(), { strategy: "none" });
  });

  test("begins anew with another catalogue", () => {
    const choice = choose();
    choice.switchOn("dates", false);
    choice.reset(all);
    assert.deepEqual(choice.excluded, []);
  });
});

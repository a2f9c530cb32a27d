import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { strategiesBeside, wordsFor } from "../../../www/demo/strategies.ts";
import { strategies } from "../../../www/src/strategies.ts";

test("every strategy of the package is explained in the demo, each in words of its own", () => {
  const explanations = strategies.map((name) => wordsFor(name).explanation);
  assert.ok(explanations.every((text) => text.length > 20));
  assert.equal(new Set(explanations).size, strategies.length);
});

test("a strategy is compared with all others", () => {
  assert.deepEqual(
    strategiesBeside("phatgoose"),
    strategies.filter((name) => name !== "phatgoose"),
  );
});

test("the list of strategies is what the options take", () => {
  const reference = readFileSync("docs/api.md", "utf8");
  for (const name of strategies) assert.ok(reference.includes(`"${name}"`), name);
});

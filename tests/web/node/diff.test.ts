import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, type Part } from "../../../www/demo/diff.ts";

/** `[-removed-]` and `[+added+]`. */
const marked = (parts: Part[]) =>
  parts
    .map(({ kind, text }) => (kind === "same" ? text : kind === "removed" ? `[-${text}-]` : `[+${text}+]`))
    .join("");

for (const [before, after, expected] of [
  ["same", "same", "same"],
  ["", "", ""],
  ["", "new", "[+new+]"],
  ["old", "", "[-old-]"],
  ["due on 3rd of May, 2021", "due on 2021-05-03", "due on [-3rd of May, -]2021[+-05-03+]"],
  ["read chapter XIV first", "read chapter 14 first", "read chapter [-XIV-][+14+] first"],
  ["a b c d", "a x y d", "a [-b c-][+x y+] d"],
  ["leaves at 15h42", "leaves at 15:42", "leaves at 15[-h-][+:+]42"],
  ["naïve café", "naïve cafe", "naïve [-café-][+cafe+]"],
  ["one two three", "two three four", "[-one -]two three[+ four+]"],
] as const) {
  test(`"${before}" becomes "${after}"`, () => assert.equal(marked(difference(before, after)), expected));
}

test("the parts make up both texts, whatever they are", () => {
  let seed = 7;
  const next = (below: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  const words = ["a", "bb", " ", "  ", "12", ",", "-", "é", "\n", "𝔘"];
  const line = () => Array.from({ length: next(12) }, () => words[next(words.length)]).join("");
  for (let round = 0; round < 2000; round++) {
    const [before, after] = [line(), line()];
    const parts = difference(before, after);
    const without = (kind: Part["kind"]) =>
      parts
        .filter((part) => part.kind !== kind)
        .map(({ text }) => text)
        .join("");
    assert.equal(without("added"), before);
    assert.equal(without("removed"), after);
  }
});

test("texts of thousands of words are compared at once", () => {
  const long = (word: string) => `${word} `.repeat(5000);
  const start = performance.now();
  const kinds = difference(long("a"), long("b")).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["removed", "added", "same"]);
  assert.ok(performance.now() - start < 1000);
});

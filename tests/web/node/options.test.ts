import assert from "node:assert/strict";
import { test } from "node:test";
import { GanderError } from "../../../www/src/errors.ts";
import { Gander } from "../../../www/src/index.ts";
import { checkRun, engineOptionsOf } from "../../../www/src/options.ts";
import type { LoadOptions } from "../../../www/src/types.ts";

function messageOf(input: unknown, options: unknown): string {
  try {
    checkRun(input, options as object);
  } catch (error) {
    assert.ok(error instanceof GanderError && error.code === "invalid-option");
    return `${error.place}: ${error.problem}; expected ${error.expected}`;
  }
  return "nothing";
}

for (const [options, message] of [
  [null, "options: it is null; expected an object"],
  [[], "options: it is []; expected an object"],
  [{ maxTokens: 5 }, /^maxTokens: there is no such option; expected one of maxNewTokens, .*, onProgress$/],
  [{ toString: 5 }, /^toString: there is no such option/],
  [{ maxNewTokens: "10" }, 'maxNewTokens: it is "10"; expected a whole number from 0'],
  [{ topK: 1.5 }, "topK: it is 1.5; expected a whole number from 0"],
  [{ seed: -1 }, "seed: it is -1; expected a whole number from 0"],
  [{ include: "date" }, 'include: it is "date"; expected a list of strings'],
  [{ stop: [5, "a"] }, 'stop: it is [5, "a"]; expected a list of strings'],
  [{ bias: { date: "high" } }, "bias: it is Object; expected an object with a number for each id"],
  [{ temperature: "x".repeat(99) }, `temperature: it is "${"x".repeat(40)}…"; expected a number`],
  [{ trace: 1 }, "trace: it is 1; expected true or false"],
  [{ signal: {} }, "signal: it is Object; expected an AbortSignal"],
  [{ onProgress: new Map() }, "onProgress: it is Map; expected a function"],
  [{ budget: 5 }, "budget: it is 5; expected an object"],
] as const) {
  test(`options ${JSON.stringify(options)?.slice(0, 40)} are refused in words`, () => {
    const found = messageOf("text", options);
    if (typeof message === "string") assert.equal(found, message);
    else assert.match(found, message);
  });
}

test("an input is text or token ids", () => {
  for (const input of ["", "text", [], [5, 1]]) assert.equal(messageOf(input, {}), "nothing");
  const expected = "expected a string or a list of token ids";
  for (const [input, problem] of [
    [undefined, "it is undefined"],
    [{}, "it is Object"],
    [[1, -1], "it is [1, -1]"],
    [[1, 2, 3, 4, 0.5], "it is [1, 2, 3, 4, …]"],
  ] as const) {
    assert.equal(messageOf(input, {}), `input: ${problem}; ${expected}`);
  }
});

test("an option that is undefined is one left out, and the host's own do not reach the engine", () => {
  const options = { seed: 1, topK: undefined, budget: {}, signal: undefined, onProgress: () => {} };
  assert.equal(messageOf("text", options), "nothing");
  assert.deepEqual(engineOptionsOf(options as object), { seed: 1 });
});

for (const [options, place] of [
  [undefined, "load"],
  ["https://cdn.example/base.gguf", "load"],
  [{}, "base"],
  [{ base: new Uint8Array(4) }, "base"],
  [{ base: "base.gguf" }, "base"],
  [{ base: "file:///base.gguf" }, "base"],
  [{ base: "https://cdn.example/base.gguf", experts: 5 }, "experts"],
  [{ base: "https://cdn.example/base.gguf", expert: "typed wrongly" }, "expert"],
  [{ base: "https://cdn.example/base.gguf", device: "gpu" }, "device"],
  [{ base: "https://cdn.example/base.gguf", adapterPoolBytes: 0 }, "adapterPoolBytes"],
  [{ base: "https://cdn.example/base.gguf", wasmUrl: "ftp://cdn.example/" }, "wasmUrl"],
] as const) {
  test(`nothing is loaded with ${JSON.stringify(options) ?? "no options"}`, async () => {
    const loading = Gander.load(options as unknown as LoadOptions);
    await assert.rejects(loading, { name: "GanderError", code: "invalid-option", place });
  });
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { GanderError } from "../../../www/src/errors.ts";
import { Generation } from "../../../www/src/generation.ts";
import type { Answer, Piece } from "../../../www/src/types.ts";

const answer = { text: "abc" } as Answer;
const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

async function spell(onPiece: (piece: Piece) => void, signal: AbortSignal): Promise<Answer> {
  for (const text of "abc") {
    await pause();
    if (signal.aborted) throw new GanderError("aborted", "generate", "stopped", "the end");
    onPiece({ text, tokenId: 0 });
  }
  return answer;
}

async function textOf(pieces: AsyncIterable<Piece>): Promise<string> {
  let text = "";
  for await (const piece of pieces) text += piece.text;
  return text;
}

test("it can be looped over and awaited, in any order and more than once", async () => {
  const generation = new Generation(spell, undefined);
  assert.equal(await textOf(generation), "abc");
  assert.equal(await generation, answer);
  assert.equal(await textOf(generation), "abc");
  assert.equal(await generation, answer);
});

test("two loops at once both get every piece", async () => {
  const generation = new Generation(spell, undefined);
  assert.deepEqual(await Promise.all([textOf(generation), textOf(generation)]), ["abc", "abc"]);
});

test("leaving a loop early stops the generation", async () => {
  const generation = new Generation(spell, undefined);
  for await (const piece of generation) {
    assert.equal(piece.text, "a");
    break;
  }
  await assert.rejects(async () => await generation, { code: "aborted" });
});

test("a failure comes out of the loop after the pieces before it, and out of the promise", async () => {
  const failing = async (onPiece: (piece: Piece) => void) => {
    onPiece({ text: "a", tokenId: 0 });
    await pause();
    throw new GanderError("network", "x", "gone", "there");
  };
  const generation = new Generation(failing, undefined);
  const seen: string[] = [];
  await assert.rejects(
    async () => {
      for await (const piece of generation) seen.push(piece.text);
    },
    { code: "network" },
  );
  assert.deepEqual(seen, ["a"]);
  await assert.rejects(async () => await generation, { code: "network" });
});

test("a signal that has already fired starts nothing", async () => {
  const stop = new AbortController();
  stop.abort();
  const generation = new Generation(() => assert.fail("it ran"), stop.signal);
  await assert.rejects(async () => await generation, { code: "aborted" });
});

test("a generation that nobody looks at makes no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on("unhandledRejection", note);
  new Generation(() => Promise.reject(new Error("unseen")), undefined);
  await pause();
  await pause();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

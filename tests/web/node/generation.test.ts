import assert from "node:assert/strict";
import { test } from "node:test";
import { GanderError } from "../../../www/src/errors.ts";
import { Generation } from "../../../www/src/generation.ts";
import type { PlainPiece } from "../../../www/src/host.ts";
import type { Answer, Piece } from "../../../www/src/types.ts";

const answer = { text: "abc" } as Answer;
const named = ({ text, tokenId }: PlainPiece): Piece => ({ text, tokenId });
const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

async function spell(onPiece: (piece: PlainPiece) => void, signal: AbortSignal): Promise<Answer> {
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
  const generation = new Generation(spell, named, undefined);
  assert.equal(await textOf(generation), "abc");
  assert.equal(await generation, answer);
  assert.equal(await textOf(generation), "abc");
  assert.equal(await generation, answer);
});

test("it has all that a promise has", async () => {
  const ends: string[] = [];
  const failing = new Generation(
    () => Promise.reject(new GanderError("network", "x", "gone", "there")),
    named,
    undefined,
  );
  assert.equal(await failing.catch((error) => error.code), "network");
  assert.equal(await new Generation(spell, named, undefined).finally(() => ends.push("end")), answer);
  await assert.rejects(
    failing.finally(() => ends.push("end")),
    { code: "network" },
  );
  assert.deepEqual(ends, ["end", "end"]);
});

test("two loops at once both get every piece", async () => {
  const generation = new Generation(spell, named, undefined);
  assert.deepEqual(await Promise.all([textOf(generation), textOf(generation)]), ["abc", "abc"]);
});

test("a piece is named once, and only if somebody reads it", async () => {
  const names: string[] = [];
  const name = (piece: PlainPiece) => {
    names.push(piece.text);
    return named(piece);
  };
  const generation = new Generation(spell, name, undefined);
  await generation;
  assert.deepEqual(names, []);
  const loops: Piece[][] = [[], []];
  for (const pieces of loops) for await (const piece of generation) pieces.push(piece);
  assert.deepEqual(names, ["a", "b", "c"]);
  assert.ok(loops[1]?.every((piece, index) => piece === loops[0]?.[index]));
});

/** Hands out ten pieces at once and notes which were read. */
function tenPieces() {
  const read: number[] = [];
  let finish: () => void = () => {};
  const generation = new Generation(
    async (onPiece) => {
      await pause();
      for (let index = 0; index < 10; index++) {
        Promise.resolve(onPiece({ text: `${index}`, tokenId: 0 })).then(() => read.push(index));
      }
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return answer;
    },
    named,
    undefined,
  );
  return { generation, read, finish: () => finish() };
}

test("the pieces that a loop has not taken yet are not read", async () => {
  const { generation, read, finish } = tenPieces();
  const loop = generation[Symbol.asyncIterator]();
  const first = await loop.next();
  await loop.next();
  await pause();
  assert.equal(first.value?.text, "0");
  assert.deepEqual(read, [0, 1]);
  finish();
});

test("the loop that has read most counts, and a piece is read once", async () => {
  const { generation, read, finish } = tenPieces();
  const [fast, slow] = [generation[Symbol.asyncIterator](), generation[Symbol.asyncIterator]()];
  for (let index = 0; index < 3; index++) await fast.next();
  await slow.next();
  await pause();
  assert.deepEqual(read, [0, 1, 2]);
  finish();
});

test("where nobody loops, or somebody awaits the whole, every piece counts as read", async () => {
  const unlooped = tenPieces();
  await pause();
  await pause();
  assert.equal(unlooped.read.length, 10);
  unlooped.finish();

  const { generation, read, finish } = tenPieces();
  await generation[Symbol.asyncIterator]().next();
  const whole = generation.then((all) => all);
  await pause();
  assert.equal(read.length, 10);
  finish();
  assert.equal(await whole, answer);
});

test("leaving a loop early stops the generation", async () => {
  const generation = new Generation(spell, named, undefined);
  for await (const piece of generation) {
    assert.equal(piece.text, "a");
    break;
  }
  await assert.rejects(async () => await generation, { code: "aborted" });
});

test("a failure comes out of the loop after the pieces before it, and out of the promise", async () => {
  const failing = async (onPiece: (piece: PlainPiece) => void) => {
    onPiece({ text: "a", tokenId: 0 });
    await pause();
    throw new GanderError("network", "x", "gone", "there");
  };
  const generation = new Generation(failing, named, undefined);
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
  const generation = new Generation(() => assert.fail("it ran"), named, stop.signal);
  await assert.rejects(async () => await generation, { code: "aborted" });
});

test("a generation that nobody looks at makes no unhandled rejection", async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on("unhandledRejection", note);
  new Generation(() => Promise.reject(new Error("unseen")), named, undefined);
  await pause();
  await pause();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});

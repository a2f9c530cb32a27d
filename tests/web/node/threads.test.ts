import assert from "node:assert/strict";
import { test } from "node:test";
import type { GanderError } from "../../../www/src/errors.ts";
import {
  type HelperReply,
  type HelperStart,
  type HelperWorker,
  startHelpers,
} from "../../../www/src/helpers.ts";
import { Gander } from "../../../www/src/index.ts";
import { sharedMemory } from "../../../www/src/shared_memory.ts";
import { chosenThreads } from "../../../www/src/threads.ts";
import type { LoadOptions } from "../../../www/src/types.ts";

const isolated = { isIsolated: true, processors: 16 };
const open = { isIsolated: false, processors: 16 };

for (const [options, page, threads] of [
  [{}, isolated, 4],
  [{}, { ...isolated, processors: 2 }, 2],
  [{}, { ...isolated, processors: 1 }, 1],
  [{}, open, 1],
  [{ threads: 1 }, isolated, 1],
  [{ threads: 3 }, isolated, 3],
  // More than there are processors, for those who know better.
  [{ threads: 6 }, { ...isolated, processors: 2 }, 6],
  [{ threads: 100 }, isolated, 8],
  [{ threads: 3 }, open, 1],
  [{ threads: 3, inline: true }, isolated, 1],
  [{ inline: true }, isolated, 1],
  [{ threads: 3, inline: false }, isolated, 3],
  [{ wasmUrl: "a.wasm" }, isolated, 1],
  [{ wasmUrl: "a.wasm", threads: 2 }, isolated, 2],
  [{ wasmUrl: "a.wasm", threads: 1 }, open, 1],
] as [Partial<LoadOptions>, typeof isolated, number][]) {
  const where = `${page.isIsolated ? "an isolated page" : "any page"} with ${page.processors} processors`;
  test(`${JSON.stringify(options)} on ${where}: ${threads} threads`, () => {
    assert.equal(chosenThreads(options, page), threads);
  });
}

test("a file for threads where there are none is refused by the option's name", () => {
  for (const [options, page] of [
    [{ wasmUrl: "a.wasm", threads: 2 }, open],
    [{ wasmUrl: "a.wasm", threads: 2, inline: true }, isolated],
  ] as const) {
    assert.throws(
      () => chosenThreads(options, page),
      (error: GanderError) => error.code === "invalid-option" && error.place === "threads",
    );
  }
});

for (const threads of [0, -1, 1.5, Number.NaN, "4", null]) {
  test(`${JSON.stringify(threads)} of threads are refused in words`, async () => {
    const loading = Gander.load({ base: "https://example.org/a.gguf", threads } as unknown as LoadOptions);
    await assert.rejects(loading, (error: GanderError) => {
      assert.deepEqual(
        [error.code, error.place, error.expected],
        ["invalid-option", "threads", "a whole number from 1"],
      );
      return true;
    });
  });
}

/** A helper that does what the test says once it is told to start. */
class Scripted implements HelperWorker {
  static all: Scripted[] = [];
  onmessage: HelperWorker["onmessage"] = null;
  onerror: HelperWorker["onerror"] = null;
  ended = false;
  start: HelperStart | undefined;
  readonly #act: (helper: Scripted) => void;
  constructor(act: (helper: Scripted) => void) {
    this.#act = act;
    Scripted.all.push(this);
  }
  postMessage(start: HelperStart): void {
    this.start = start;
    queueMicrotask(() => this.#act(this));
  }
  says(problem: string | null): void {
    this.onmessage?.({ data: { problem } } as MessageEvent<HelperReply>);
  }
  terminate(): void {
    this.ended = true;
  }
}

const shared = { module: {} as WebAssembly.Module, memory: {} as WebAssembly.Memory };

function started(acts: ((helper: Scripted) => void)[]): Promise<void> {
  Scripted.all = [];
  const left = [...acts];
  return startHelpers(
    acts.length,
    shared,
    () => new Scripted(left.shift() ?? assert.fail("one too many")),
    50,
  );
}

const runs = (helper: Scripted) => helper.says(null);

test("helpers are told the module, the memory and an index from 1, and waited for", async () => {
  await started([runs, runs, runs]);
  assert.deepEqual(
    Scripted.all.map(({ start }) => start),
    [1, 2, 3].map((index) => ({ ...shared, index })),
  );
  assert.ok(Scripted.all.every(({ ended }) => !ended));
});

for (const [how, act, message] of [
  ["says what is wrong", (helper) => helper.says("no memory"), "helper 2 did not start: no memory"],
  [
    "cannot be loaded",
    (helper) => helper.onerror?.({ message: "" } as ErrorEvent),
    /^helper 2 did not start: its script could not be loaded/,
  ],
  ["throws", (helper) => helper.onerror?.({ message: "Oh!" } as ErrorEvent), "helper 2 did not start: Oh!"],
  ["says nothing", () => {}, "helper 2 did not start: nothing heard for 50 ms"],
] as [string, (helper: Scripted) => void, string | RegExp][]) {
  test(`a helper that ${how} is named with its reason, and the others end`, async () => {
    await assert.rejects(started([runs, act, runs]), { message });
    assert.ok(Scripted.all.every(({ ended }) => ended));
  });
}

test("a browser without workers in workers is a reason too", async () => {
  const create = () => {
    throw new TypeError("Worker is not a constructor");
  };
  await assert.rejects(startHelpers(1, shared, create), { message: "Worker is not a constructor" });
});

test("shared memory may grow as far as the browser allows", () => {
  const asked: (number | undefined)[] = [];
  const memory = sharedMemory((descriptor) => {
    asked.push(descriptor.maximum);
    if ((descriptor.maximum ?? 0) > 20_000) throw new RangeError("too much");
    return new WebAssembly.Memory(descriptor);
  });
  assert.deepEqual(asked, [65536, 32768, 16384]);
  assert.ok(memory.buffer instanceof SharedArrayBuffer);
  const refuse = () => {
    throw new RangeError("none");
  };
  assert.throws(() => sharedMemory(refuse), { message: "none" });
});

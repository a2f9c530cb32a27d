import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { EngineHost } from "../../../www/src/engine_host.ts";
import { GanderError } from "../../../www/src/errors.ts";
import { Generation } from "../../../www/src/generation.ts";
import type { PlainPiece } from "../../../www/src/host.ts";
import { unpackRouting } from "../../../www/src/packed_routing.ts";
import type { Reply, Request } from "../../../www/src/protocol.ts";
import { RUN_AHEAD_PIECES } from "../../../www/src/run_ahead.ts";
import { WorkerHost, type WorkerLike } from "../../../www/src/worker_host.ts";
import { type Port, serveHost } from "../../../www/src/worker_port.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { testOcean } from "../test_ocean.ts";

const startScriptedEngine = async () => ({
  createEngine: () => new ScriptedEngine(),
  filesOf: ScriptedEngine.filesOf,
});
const never = () => new AbortController().signal;
let server: FaultServer;
let host: WorkerHost;
let worker: WorkerLike;
let ends: MessagePort[];

beforeEach(async () => {
  server = await new FaultServer(testOcean()).start();
  // A channel copies what is posted exactly as a worker does.
  const { port1, port2 } = new MessageChannel();
  ends = [port1, port2];
  worker = Object.assign(port1 as unknown as WorkerLike, { terminate: () => port1.close(), onerror: null });
  serveHost(port2 as unknown as Port<Reply, Request>, new EngineHost(startScriptedEngine));
  host = new WorkerHost(worker, "https://site.example/worker.js");
});
afterEach(async () => {
  for (const end of ends) end.close();
  await server.stop();
});

function load(signal = never()) {
  const base = { url: `${server.url}base.gguf` };
  const request = { base, catalogUrls: [`${server.url}catalog.json`], device: "cpu" as const, wasmUrl: "" };
  return host.load(request, () => {}, signal);
}

function generate(
  text: string,
  signal = never(),
  onPiece: (piece: PlainPiece) => void = () => {},
  options: { trace?: boolean } = {},
) {
  return host.generate(
    { input: text, options },
    { onPiece, onProgress: () => {}, onDevice: () => {} },
    signal,
  );
}

test("a line goes to the worker and its pieces and answer come back", async () => {
  const { experts } = await load();
  assert.equal(experts.length, 2);
  const pieces: string[] = [];
  const answer = await generate("abc", never(), (piece) => pieces.push(piece.text));
  assert.equal(pieces.join(""), "ABC");
  assert.equal(answer.text, "ABC");
});

test("of a piece's routing come its own words alone", async () => {
  const { experts } = await load();
  const pieces: PlainPiece[] = [];
  await generate("a1", never(), (piece) => pieces.push(piece), { trace: true });
  const ids = experts.map(({ id }) => id);
  const chosen = pieces.map(({ routing }) => routing && unpackRouting(routing, ids)[0]?.experts);
  assert.deepEqual(chosen, [ids, ids.toReversed()]);
  for (const { routing } of pieces) assert.equal(routing?.words.buffer.byteLength, routing?.words.byteLength);
});

test("errors keep their class and all their fields on the way", async () => {
  await load();
  await assert.rejects(generate(" "), (error) => {
    assert.ok(error instanceof GanderError);
    const { code, place, problem, expected } = error;
    assert.deepEqual(
      { code, place, problem, expected },
      { code: "empty-input", place: "text", problem: "there is none", expected: "a line of text" },
    );
    return true;
  });
});

test("a failed load fails by name and ends the worker", async () => {
  server.fail("base.gguf", 404);
  await assert.rejects(load(), { code: "not-found" });
  await assert.rejects(generate("abc"), { code: "not-found" });
});

test("an abort reaches the worker between two steps, and the model stays usable", async () => {
  await load();
  const stop = new AbortController();
  let pieces = 0;
  const running = generate("x".repeat(5000), stop.signal, () => {
    pieces++;
    if (pieces === 3) stop.abort();
  });
  await assert.rejects(running, { code: "aborted" });
  assert.ok(pieces < 5000);
  assert.equal((await generate("next")).text, "NEXT");
});

/** An answer of many pieces as users get it. */
function longAnswer() {
  const arrived: string[] = [];
  const generation = new Generation(
    async (onPiece, stop) => {
      const events = {
        onPiece: ({ routing: _, ...piece }: PlainPiece) => {
          arrived.push(piece.text);
          return onPiece(piece);
        },
        onProgress() {},
        onDevice() {},
      };
      const request = { input: "x".repeat(2000), options: { maxNewTokens: 2000 } };
      const { routing: _, ...answer } = await host.generate(request, events, stop);
      return answer;
    },
    ({ routing: _, ...piece }) => piece,
    undefined,
  );
  return { generation, arrived };
}

test("a reader that reads slowly holds the engine back, and gets every piece", async () => {
  await load();
  const { generation, arrived } = longAnswer();
  let read = 0;
  for await (const _ of generation) {
    read++;
    if (read % 500 !== 1) continue;
    for (let before = 0; arrived.length > before; ) {
      before = arrived.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(
      Math.abs(arrived.length - read - RUN_AHEAD_PIECES) <= 1,
      `${arrived.length} came, ${read} read`,
    );
  }
  assert.equal(read, 2000);
  assert.equal((await generation).text?.length, 2000);
});

test("a reader that waits for another answer does not wait for itself", async () => {
  await load();
  const { generation } = longAnswer();
  let read = 0;
  for await (const _ of generation) {
    read++;
    if (read === 1) assert.equal((await generate("inner")).text, "INNER");
  }
  assert.equal(read, 2000);
});

test("an engine that is held back hears an abort", async () => {
  await load();
  const { generation, arrived } = longAnswer();
  const loop = generation[Symbol.asyncIterator]();
  await loop.next();
  await new Promise((resolve) => setTimeout(resolve, 30));
  await loop.return();
  await assert.rejects(async () => await generation, { code: "aborted" });
  assert.ok(arrived.length < 2 * RUN_AHEAD_PIECES);
  assert.equal((await generate("next")).text, "NEXT");
});

test("calls are answered in the order of asking, whatever their length", async () => {
  await load();
  const ended: string[] = [];
  const ask = (text: string) => generate(text).then((answer) => ended.push(answer.text ?? ""));
  await Promise.all([ask("the longest of all"), ask("b"), ask("short")]);
  assert.deepEqual(ended, ["THE LONGEST OF ALL", "B", "SHORT"]);
});

test("an abort while loading ends the worker", async () => {
  server.fail("base.gguf", "stalls");
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(load(stop.signal), { code: "aborted" });
});

test("a worker that breaks off fails everything that waits for it, by name", async () => {
  server.fail("base.gguf", "stalls");
  const loading = load();
  worker.onerror?.({ message: "", filename: "worker.js" } as ErrorEvent);
  await assert.rejects(loading, { code: "worker", place: "worker.js" });
});

test("disposing fails what runs, by name", async () => {
  await load();
  const running = generate("abc");
  host.dispose();
  await assert.rejects(running, { code: "disposed" });
  await assert.rejects(generate("abc"), { code: "disposed" });
});

test("options that cannot be posted fail by name", async () => {
  await load();
  const options = { stop: [() => {}] as unknown as string[] };
  const running = host.generate(
    { input: "abc", options },
    { onPiece() {}, onProgress() {}, onDevice() {} },
    never(),
  );
  await assert.rejects(running, { code: "invalid-option" });
});

test("a scoring goes to the worker and its result comes back; so do its failures", async () => {
  await load();
  const events = { onProgress: () => {}, onDevice: () => {} };
  const request = { input: "abc", options: {}, choices: ["yes", [1]] };
  const scores = await host.score(request, events, never());
  assert.deepEqual([scores.best, scores.choices.map((choice) => choice.ids.length)], [0, [3, 1]]);
  const none = host.score({ ...request, choices: [] }, events, never());
  await assert.rejects(none, (error) => error instanceof GanderError && error.code === "empty-input");
});

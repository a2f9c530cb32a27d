import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { EngineOptions } from "../../../www/src/engine.ts";
import { EngineHost } from "../../../www/src/engine_host.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import type { Input } from "../../../www/src/types.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { testOcean } from "../test_ocean.ts";

const never = () => new AbortController().signal;
let server: FaultServer;
let host: EngineHost;

beforeEach(async () => {
  server = await new FaultServer(testOcean()).start();
  const startEngineModule = async () => ({
    createEngine: () => new ScriptedEngine(),
    filesOf: ScriptedEngine.filesOf,
  });
  host = new EngineHost(startEngineModule, { ...defaultNetwork(), backoffMilliseconds: 1 });
  const base = { url: `${server.url}base.gguf` };
  await host.load(
    { base, catalogUrls: [`${server.url}catalog.json`], device: "cpu", wasmUrl: "" },
    () => {},
    never(),
  );
});
afterEach(() => server.stop());

const events = { onPiece: () => {}, onProgress: () => {}, onDevice: () => {} };

function score(text: string, choices: Input[], signal = never(), options: EngineOptions = {}) {
  return host.score({ input: text, options, choices }, events, signal);
}

test("every choice has its tokens and likelihoods, and the likeliest per token wins", async () => {
  const { best, choices } = await score("abc", ["no", "maybe", [1, 2, 3]]);
  assert.equal(best, 0);
  assert.deepEqual(
    choices.map(({ ids, logLikelihood, perToken }) => [ids.length, logLikelihood, perToken]),
    [
      [2, -2, -1],
      [5, -10, -2],
      [3, -9, -3],
    ],
  );
});

test("pages are fetched as for an answer", async () => {
  await score("abc", ["yes"]);
  assert.equal(server.requests.filter((path) => path.startsWith("experts/")).length, 4);
});

test("where nobody waits for pages, they are fetched behind the scoring", async () => {
  const pages = () => server.requests.filter((path) => path.startsWith("experts/")).length;
  await score("abc", ["yes", "no"], never(), { onMiss: "skip" });
  while (pages() < 4) await new Promise((wake) => setTimeout(wake, 1));
  await score("abc", ["yes"]);
  assert.equal(pages(), 4, "none is fetched again");
});

test("scorings and answers take turns", async () => {
  const done: string[] = [];
  const answer = host
    .generate({ input: "abc", options: {} }, events, never())
    .then(() => done.push("answer"));
  const scores = score("abc", ["yes", "no"]).then(() => done.push("scores"));
  const last = host.generate({ input: "d", options: {} }, events, never()).then(() => done.push("last"));
  await Promise.all([answer, scores, last]);
  assert.deepEqual(done, ["answer", "scores", "last"]);
});

test("failures are named, and an abort leaves the model usable", async () => {
  await assert.rejects(score("abc", []), { code: "empty-input" });
  const controller = new AbortController();
  const stopped = score("abc", ["yes"], controller.signal);
  controller.abort();
  await assert.rejects(stopped, { code: "aborted" });
  assert.equal((await score("abc", ["yes"])).best, 0);
});

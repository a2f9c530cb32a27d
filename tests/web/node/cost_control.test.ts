import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { checkBudget, Purse } from "../../../www/src/budget.ts";
import { EngineHost } from "../../../www/src/engine_host.ts";
import type { GenerateRequest } from "../../../www/src/host.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import type { Budget } from "../../../www/src/types.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { testOcean } from "../test_ocean.ts";

// An answer of the scripted engine wants the two pages of both its experts, 64 bytes each.
const PAGE_BYTES = 64;
const EVERYTHING = { pagesWanted: 4, bytesWanted: 4 * PAGE_BYTES };

const never = new AbortController().signal;
let server: FaultServer;
let engine: ScriptedEngine;
let host: EngineHost;

beforeEach(async () => {
  server = await new FaultServer(testOcean()).start();
  engine = new ScriptedEngine();
  const startEngineModule = async () => ({ createEngine: () => engine, filesOf: ScriptedEngine.filesOf });
  host = new EngineHost(startEngineModule, { ...defaultNetwork(), backoffMilliseconds: 1 });
});
afterEach(() => server.stop());

async function load(budget?: Budget) {
  const base = { url: `${server.url}base.gguf` };
  await host.load(
    {
      base,
      catalogUrls: [`${server.url}catalog.json`],
      device: "cpu",
      wasmUrl: "",
      ...(budget ? { budget } : {}),
    },
    () => {},
    never,
  );
}

async function statsOf(request: Partial<GenerateRequest> & { text?: string } = {}) {
  const events = { onPiece: () => {}, onProgress: () => {}, onDevice: () => {} };
  const { text = "hello", options = {}, ...rest } = request;
  const answer = await host.generate({ input: text, options, ...rest }, events, never);
  assert.equal(answer.text, text.toUpperCase());
  const { pagesWanted, bytesWanted, pagesFetched, bytesFetched, pagesSkipped } = answer.stats;
  return { pagesWanted, bytesWanted, pagesFetched, bytesFetched, pagesSkipped };
}

const fetched = (pages: number) => ({ pagesFetched: pages, bytesFetched: pages * PAGE_BYTES });

describe("a budget", () => {
  test("of an answer bounds the bytes that it fetches, and the next answer has its own", async () => {
    await load();
    const budget = { bytes: 3 * PAGE_BYTES - 1 };
    assert.deepEqual(await statsOf({ budget }), { ...EVERYTHING, ...fetched(2), pagesSkipped: 2 });
    assert.deepEqual(await statsOf({ budget }), { ...EVERYTHING, ...fetched(2), pagesSkipped: 0 });
    assert.deepEqual(await statsOf({ budget }), { ...EVERYTHING, ...fetched(0), pagesSkipped: 0 });
  });

  test("of experts keeps to the first of them", async () => {
    await load();
    assert.deepEqual(await statsOf({ budget: { experts: 1 } }), {
      ...EVERYTHING,
      ...fetched(2),
      pagesSkipped: 2,
    });
    assert.deepEqual([...engine.resident].sort(), [0, 1]);
  });

  test("of a model is for all its answers together", async () => {
    await load({ bytes: PAGE_BYTES });
    assert.deepEqual(await statsOf(), { ...EVERYTHING, ...fetched(1), pagesSkipped: 3 });
    assert.deepEqual(await statsOf(), { ...EVERYTHING, ...fetched(0), pagesSkipped: 3 });
    assert.equal(server.requests.filter((path) => path.includes("experts/")).length, 1);
  });

  test("of nothing fetches nothing", async () => {
    await load();
    assert.deepEqual(await statsOf({ budget: { bytes: 0 } }), {
      ...EVERYTHING,
      ...fetched(0),
      pagesSkipped: 4,
    });
  });

  test("that is none is refused by name", () => {
    const wrong = [{ bytes: -1 }, { experts: Number.NaN }, { bytes: "64" }, { files: 3 }];
    for (const budget of wrong) {
      assert.throws(() => checkBudget("budget", budget as Budget), { code: "invalid-option" });
    }
    checkBudget("budget", undefined);
    checkBudget("budget", { bytes: 0, experts: 1 });
  });

  test("is spent page by page", () => {
    const purse = new Purse({ bytes: 100, experts: 1 });
    purse.pay({ expert: "a", bytes: 60 });
    assert.ok(purse.affords({ expert: "a", bytes: 40 }));
    assert.ok(!purse.affords({ expert: "a", bytes: 41 }));
    assert.ok(!purse.affords({ expert: "b", bytes: 1 }));
    assert.ok(new Purse(undefined).affords({ expert: "b", bytes: 2 ** 40 }));
  });
});

describe("onMiss skip", () => {
  const skip = { options: { onMiss: "skip" as const } };

  test("never waits; what comes behind serves later tokens and answers", async () => {
    await load();
    const first = await statsOf({ ...skip, text: "a" });
    assert.deepEqual(first, { ...EVERYTHING, ...fetched(0), pagesSkipped: 4 });
    await arrival(4);
    const later = await statsOf({ ...skip, text: "ab" });
    assert.deepEqual(later, { ...EVERYTHING, ...fetched(4), pagesSkipped: 0 });
  });

  test("keeps to the budget behind the tokens too", async () => {
    await load({ bytes: PAGE_BYTES });
    await statsOf(skip);
    await arrival(1);
    assert.equal((await statsOf(skip)).pagesSkipped, 3);
  });

  test("an expert that cannot be had is no failure", async () => {
    await load();
    for (const path of Object.keys(server.files)) if (path.includes("experts/")) delete server.files[path];
    assert.equal((await statsOf(skip)).pagesSkipped, 4);
  });

  /** Waits until so many pages have been asked for and answered. */
  async function arrival(pages: number): Promise<void> {
    const asked = () => server.requests.filter((path) => path.includes("experts/")).length;
    while (asked() < pages) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

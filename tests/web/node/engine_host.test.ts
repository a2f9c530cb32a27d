import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { EngineHost } from "../../../www/src/engine_host.ts";
import type { GenerateRequest, PlainPiece } from "../../../www/src/host.ts";
import type { TableData } from "../../../www/src/trace_data.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import type { DeviceName, LoadedDevice, Progress } from "../../../www/src/types.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { sha256, testOcean } from "../test_ocean.ts";

const never = () => new AbortController().signal;
const network = { ...defaultNetwork(), backoffMilliseconds: 1, stallMilliseconds: 1000 };
let server: FaultServer;
let engine: ScriptedEngine;
let host: EngineHost;
let devices: LoadedDevice[];

beforeEach(async () => {
  server = await new FaultServer(testOcean()).start();
  engine = new ScriptedEngine();
  devices = [];
  host = new EngineHost(
    async () => ({ createEngine: () => engine, filesOf: ScriptedEngine.filesOf }),
    network,
  );
});
afterEach(() => server.stop());

function load(
  base = "base.gguf",
  onProgress: (progress: Progress) => void = () => {},
  signal = never(),
  device: DeviceName = "auto",
) {
  const request = {
    base: { url: server.url + base },
    catalogUrls: [`${server.url}catalog.json`],
    device,
    wasmUrl: "",
  };
  return host.load(request, onProgress, signal);
}

function generate(
  text: string,
  options: GenerateRequest["options"] = {},
  signal = never(),
  onPiece: (piece: PlainPiece) => void = () => {},
) {
  const events = { onPiece, onProgress: () => {}, onDevice: (device: LoadedDevice) => devices.push(device) };
  return host.generate({ input: text, options }, events, signal);
}

describe("loading", () => {
  test("tells what was loaded and reports every file's bytes", async () => {
    const reports: Progress[] = [];
    const { base, experts } = await load("base.gguf", (progress) => reports.push(progress));
    assert.equal(base.name, "base.gguf");
    assert.deepEqual(
      experts.map(({ id, pages, bytes }) => ({ id, pages, bytes })),
      [
        { id: "letters", pages: 2, bytes: 128 },
        { id: "signs", pages: 2, bytes: 128 },
      ],
    );
    for (const file of ["base.gguf", "catalog.json", "gates"]) {
      const last = reports.filter((progress) => progress.file === file).at(-1);
      assert.equal(last?.loaded, last?.total, file);
    }
  });

  test("fetches no expert", async () => {
    await load();
    assert.deepEqual(server.requests.toSorted(), ["base.gguf", "catalog.json", "gates.safetensors"]);
  });

  test("takes a Hugging Face folder, with spiece.model where there is no tokenizer.json", async () => {
    const bytes = new Uint8Array(4);
    for (const name of ["config.json", "spiece.model", "model.safetensors"])
      server.files[`t5/${name}`] = bytes;
    const { base } = await load("t5");
    assert.match(base.name, /t5 config.json model.safetensors spiece.model$/);
  });

  test("takes a folder without any tokenizer, and weights in shards", async () => {
    const index = {
      weight_map: { a: "model-1.safetensors", b: "model-2.safetensors", c: "model-1.safetensors" },
    };
    server.files["t5/config.json"] = new Uint8Array(4);
    server.files["t5/model.safetensors.index.json"] = new TextEncoder().encode(JSON.stringify(index));
    server.files["t5/model-1.safetensors"] = server.files["t5/model-2.safetensors"] = new Uint8Array(4);
    const { base } = await load("t5/");
    assert.match(base.name, /t5\/ config.json model-1.safetensors model-2.safetensors$/);
  });

  test("takes no shard from outside the folder", async () => {
    const index = { weight_map: { a: "../secret.safetensors" } };
    server.files["t5/config.json"] = new Uint8Array(4);
    server.files["t5/model.safetensors.index.json"] = new TextEncoder().encode(JSON.stringify(index));
    await assert.rejects(load("t5/"), { code: "invalid-file", place: "model.safetensors.index.json" });
  });

  test("of a missing base fails by name and stops the other downloads", async () => {
    server.fail("catalog.json", "stalls");
    await assert.rejects(load("other.gguf"), { code: "not-found", place: `${server.url}other.gguf` });
  });

  test("passes the engine's own errors on", async () => {
    server.files["base.gguf"] = new TextEncoder().encode("GGUFxx");
    await assert.rejects(load(), { code: "invalid-file", place: "base.gguf" });
    assert.ok(engine.freed);
  });

  test("of a catalogue that insists on one base file takes that one alone", async () => {
    const catalog = JSON.parse(new TextDecoder().decode(server.files["catalog.json"]));
    const pin = (hash: string) => {
      catalog.base.sha256 = hash;
      server.files["catalog.json"] = new TextEncoder().encode(JSON.stringify(catalog));
    };
    pin(sha256(server.files["base.gguf"] as Uint8Array));
    await load();
    pin("0".repeat(64));
    await assert.rejects(load(), { code: "wrong-base", place: "base.gguf" });
    server.files["t5/config.json"] = new Uint8Array(4);
    await assert.rejects(load("t5/"), { code: "wrong-base", problem: "the base is a folder" });
  });

  test("has the engine's pool for pages made as large as it is told", async () => {
    await load();
    assert.equal(engine.poolBytes, undefined);
    const request = { base: { url: `${server.url}base.gguf` }, device: "cpu" as const, wasmUrl: "" };
    await host.load({ ...request, adapterPoolBytes: 12_345 }, () => {}, never());
    assert.equal(engine.poolBytes, 12_345);
  });

  test("reads no more than the beginning of a file that is no GGUF", async () => {
    server.files["base.gguf"] = new TextEncoder().encode("<!doctype html>");
    await assert.rejects(load(), { code: "invalid-file", problem: 'it begins with "<!do"' });
  });

  test("does not read on where the gates are longer than the catalogue says", async () => {
    server.fail("gates.safetensors", "endless");
    await assert.rejects(load(), { code: "invalid-file", place: `${server.url}gates.safetensors` });
  });

  for (const [what, text] of [
    ["no JSON", "<!doctype html>"],
    ["null", "null"],
    ["another JSON", '{"format": "other"}'],
    ["a catalogue without gates", '{"format": "gander-catalog"}'],
    [
      "gates with another scheme",
      `{"format": "gander-catalog", "gates": {"url": "data:,x", "bytes": 1, "sha256": "${"0".repeat(64)}"}}`,
    ],
  ] as const) {
    test(`refuses a catalogue that is ${what}`, async () => {
      server.files["catalog.json"] = new TextEncoder().encode(text);
      await assert.rejects(load(), { code: "invalid-file" });
    });
  }

  test("can be stopped", async () => {
    server.fail("base.gguf", "stalls");
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    await assert.rejects(
      load("base.gguf", () => {}, stop.signal),
      { code: "aborted" },
    );
  });
});

describe("generating", () => {
  beforeEach(async () => {
    await load();
    server.requests.length = 0;
  });

  test("gives every piece in order, then the whole", async () => {
    const pieces: PlainPiece[] = [];
    const answer = await generate("abc", {}, never(), (piece) => pieces.push(piece));
    assert.deepEqual(
      pieces.map((piece) => piece.text),
      ["A", "B", "C"],
    );
    assert.equal(answer.text, "ABC");
    assert.equal(answer.finish, "eos");
    assert.deepEqual(answer.outputIds, [65, 66, 67]);
    assert.equal(answer.stats.tokens, 3);
    assert.equal(answer.routing, undefined);
  });

  test("fetches the pages it lacks once, and none the second time", async () => {
    const first = await generate("abc");
    const { pagesWanted, bytesWanted, pagesFetched, bytesFetched, pagesFromCache } = first.stats;
    assert.deepEqual(
      { pagesWanted, bytesWanted, pagesFetched, bytesFetched, pagesFromCache },
      { pagesWanted: 4, bytesWanted: 256, pagesFetched: 4, bytesFetched: 256, pagesFromCache: 0 },
    );
    assert.ok(first.stats.waitMilliseconds > 0 && first.stats.waitMilliseconds < first.stats.milliseconds);
    assert.equal(server.requests.length, 4);
    const second = await generate("abc");
    assert.deepEqual([second.stats.pagesWanted, second.stats.pagesFetched], [4, 0]);
    assert.equal(second.stats.waitMilliseconds, 0);
    assert.equal(server.requests.length, 4);
  });

  test("reports the routing where it is asked for", async () => {
    const { routing } = await generate("a", { trace: true });
    assert.deepEqual(routing?.experts, ["letters", "signs"]);
    for (const [side, stack] of [
      ["input", "encoder"],
      ["output", "decoder"],
    ] as const) {
      const table: TableData | undefined = routing?.[side];
      assert.deepEqual(
        table?.modules.map((module) => module.split(".")[0]),
        [stack, stack],
      );
      assert.deepEqual([...(table?.choices ?? [])], [0, 1, 0, 1]);
      assert.deepEqual([...(table?.weights ?? [])], [0.75, 0.25, 0.75, 0.25]);
      assert.deepEqual(table?.tokens, [{ id: 65, text: "A" }]);
    }
  });

  test("answers concurrent calls in the order of asking", async () => {
    const order: string[] = [];
    const note = (piece: PlainPiece) => order.push(piece.text);
    await Promise.all(["ab", "cd", "ef"].map((text) => generate(text, {}, never(), note)));
    assert.equal(order.join(""), "ABCDEF");
  });

  test("goes on with the next call after one has failed", async () => {
    const [bad, good] = await Promise.allSettled([generate("  "), generate("ok")]);
    assert.equal(bad.status === "rejected" && bad.reason.code, "empty-input");
    assert.equal(good.status === "fulfilled" && good.value.text, "OK");
  });

  test("stops within one step of an abort, and the model stays usable", async () => {
    const stop = new AbortController();
    const pieces: PlainPiece[] = [];
    const running = generate("x".repeat(100_000), { maxNewTokens: 100_000 }, stop.signal, (piece) =>
      pieces.push(piece),
    );
    let piecesAtAbort = 0;
    setTimeout(() => {
      piecesAtAbort = pieces.length;
      stop.abort();
    }, 20);
    await assert.rejects(running, { code: "aborted" });
    assert.ok(pieces.length < 100_000);
    assert.ok(pieces.length <= piecesAtAbort + 1, `${pieces.length - piecesAtAbort} pieces came after it`);
    assert.equal((await generate("next")).text, "NEXT");
  });

  test("a call that is stopped while it waits never starts, and leaves at once", async () => {
    server.delayMilliseconds = 50;
    const stop = new AbortController();
    const first = generate("first");
    const waiting = generate("panic, if this ever starts", {}, stop.signal);
    stop.abort();
    await assert.rejects(waiting, { code: "aborted" });
    assert.equal((await first).text, "FIRST");
  });

  test("stops while pages are on their way, and gets them the next time", async () => {
    server.fail("experts/letters.safetensors", "stalls", 2);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    await assert.rejects(generate("abc", {}, stop.signal), { code: "aborted" });
    assert.equal((await generate("abc")).text, "ABC");
  });

  test("fails by name when a page cannot be had, and works again once it can", async () => {
    for (const [fault, code] of [
      [404, "not-found"],
      ["altered", "page-mismatch"],
      ["short", "page-mismatch"],
      [500, "http"],
    ] as const) {
      server.fail("experts/letters.safetensors", fault);
      await assert.rejects(generate("abc"), { code });
    }
    server.fail("experts/letters.safetensors", 500, 0);
    assert.equal((await generate("abc")).text, "ABC");
  });

  test("an answer is lost with its device, by name; the next finds another, and nothing is fetched again", async () => {
    host.dispose();
    host = new EngineHost(
      async () => ({ createEngine: () => engine, filesOf: ScriptedEngine.filesOf }),
      network,
    );
    engine = new ScriptedEngine();
    await load("base.gguf", undefined, undefined, "webgpu+cpu");
    assert.equal((await generate("abc")).stats.pagesFetched, 4);
    const requests = server.requests.length;
    await assert.rejects(generate("unplug"), { code: "device-lost" });
    assert.deepEqual(devices, [
      { name: "webgpu+cpu", reason: "reopened", adapter: null, wasmBuild: "plain", threads: 1 },
    ]);
    assert.equal((await generate("abc")).stats.pagesFromCache, 4);
    assert.equal(server.requests.length, requests);
  });

  test("a bug in the engine is named as one, and nothing is asked of it afterwards", async () => {
    await assert.rejects(generate("panic"), { code: "internal" });
    await assert.rejects(generate("abc"), { code: "internal" });
  });

  test("disposing ends what runs and what waits, and frees the engine", async () => {
    server.delayMilliseconds = 50;
    const running = generate("abc");
    const waiting = generate("def");
    host.dispose();
    await assert.rejects(running, { code: "disposed" });
    await assert.rejects(waiting, { code: "disposed" });
    await assert.rejects(generate("ghi"), { code: "disposed" });
    assert.ok(engine.freed);
  });
});

test("before a base is loaded, generating fails by name", async () => {
  await assert.rejects(generate("abc"), { code: "invalid-state" });
});

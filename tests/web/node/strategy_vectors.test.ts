import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { EngineHost } from "../../../www/src/engine_host.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import type { Strategy } from "../../../www/src/types.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { filled, sha256, testOcean } from "../test_ocean.ts";

// Two catalogues on one server; the second alone has vectors for average-activation.
const never = () => new AbortController().signal;
const file = "arrow.safetensors";
let server: FaultServer;
let engine: ScriptedEngine;
let host: EngineHost;

function withVectors(folder: string, strategies: string[]): Record<string, Uint8Array> {
  const files = testOcean([`${folder} letters`, `${folder} signs`], folder === "a" ? 1 : 3);
  const catalog = JSON.parse(new TextDecoder().decode(files["catalog.json"]));
  catalog.name = folder;
  catalog.vectors = {};
  for (const [index, strategy] of strategies.entries()) {
    const bytes = filled(40 + index, folder === "a" ? 9 : 11);
    files[`${strategy}.safetensors`] = bytes;
    catalog.vectors[strategy] = {
      url: `${strategy}.safetensors`,
      bytes: bytes.length,
      sha256: sha256(bytes),
    };
  }
  files["catalog.json"] = new TextEncoder().encode(JSON.stringify(catalog));
  return Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, bytes]));
}

beforeEach(() => load());
afterEach(() => server.stop());

async function load(change: (catalog: { vectors: Record<string, unknown> }) => void = () => {}) {
  const files = { ...withVectors("a", ["arrow"]), ...withVectors("b", ["arrow", "average-activation"]) };
  const catalog = JSON.parse(new TextDecoder().decode(files["a/catalog.json"]));
  change(catalog);
  files["a/catalog.json"] = new TextEncoder().encode(JSON.stringify(catalog));
  server = await new FaultServer(files).start();
  engine = new ScriptedEngine();
  host = new EngineHost(async () => ({ createEngine: () => engine, filesOf: ScriptedEngine.filesOf }), {
    ...defaultNetwork(),
    backoffMilliseconds: 1,
  });
  const base = { url: `${server.url}a/base.gguf` };
  const catalogUrls = ["a", "b"].map((folder) => `${server.url}${folder}/catalog.json`);
  await host.load({ base, catalogUrls, device: "cpu", wasmUrl: "" }, () => {}, never());
}

function generate(strategy?: Strategy) {
  const events = { onPiece: () => {}, onProgress: () => {}, onDevice: () => {} };
  return host.generate({ input: "a", options: strategy ? { strategy } : {} }, events, never());
}

const fetched = () => server.requests.filter((path) => /arrow|average/.test(path));

test("a strategy's vectors are fetched when it is first asked for, from every catalogue that has them", async () => {
  await generate();
  await generate("merged");
  assert.deepEqual(fetched(), []);
  await generate("arrow");
  assert.deepEqual(fetched(), [`a/${file}`, `b/${file}`]);
  const events = { onDevice: () => {}, onProgress: () => {} };
  const options = { strategy: "average-activation" as const };
  await host.score({ input: "a", choices: ["b"], options }, events, never());
  await generate("arrow");
  assert.deepEqual(fetched().slice(2), ["b/average-activation.safetensors"]);
  assert.deepEqual(engine.vectors, [
    { catalog: "a", strategy: "arrow", url: file, bytes: 40 },
    { catalog: "b", strategy: "arrow", url: file, bytes: 40 },
    {
      catalog: "b",
      strategy: "average-activation",
      url: "average-activation.safetensors",
      bytes: 41,
    },
  ]);
});

test("a file that is not the catalogue's is an error, and the next try fetches it again", async () => {
  const whole = server.files[`a/${file}`] ?? new Uint8Array();
  server.files[`a/${file}`] = filled(40, 1);
  await assert.rejects(generate("arrow"), (error: Error & { place: string }) => error.place.includes(file));
  assert.deepEqual(engine.vectors, []);
  server.files[`a/${file}`] = whole;
  const { text } = await generate("arrow");
  assert.equal(text, "A");
  assert.equal(engine.vectors.length, 2);
});

for (const [what, description] of Object.entries({
  "a text": "arrow.safetensors",
  "without a hash": { url: file, bytes: 40 },
  "with half a hash": { url: file, bytes: 40, sha256: "ab" },
  "with a size that is none": { url: file, bytes: 0.5, sha256: "a".repeat(64) },
  "above the catalogue": { url: `../b/${file}`, bytes: 40, sha256: "a".repeat(64) },
  "larger than anybody needs": { url: file, bytes: 2 ** 40, sha256: "a".repeat(64) },
})) {
  test(`vectors that are ${what} are refused, and nothing is fetched`, async () => {
    await server.stop();
    await load((catalog) => {
      catalog.vectors.arrow = description;
    });
    await assert.rejects(generate("arrow"), { code: "invalid-file" });
    assert.deepEqual(fetched(), []);
  });
}

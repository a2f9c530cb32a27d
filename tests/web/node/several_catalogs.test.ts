import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { EngineHost } from "../../../www/src/engine_host.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { ScriptedEngine } from "../scripted_engine.ts";
import { testOcean } from "../test_ocean.ts";

// Two hosts, each with a catalogue and its files. Both have an expert for letters.
const never = () => new AbortController().signal;
let servers: [FaultServer, FaultServer];
let host: EngineHost;

/** An ocean whose catalogue has another name. */
function renamed(name: string, ids: string[], fingerprint = "scripted"): Record<string, Uint8Array> {
  // Of bytes of its own: equal pages are fetched once, wherever they are.
  const files = testOcean(ids, name === "first" ? 1 : 3);
  const catalog = JSON.parse(new TextDecoder().decode(files["catalog.json"]));
  catalog.name = name;
  catalog.base.fingerprint = fingerprint;
  files["catalog.json"] = new TextEncoder().encode(JSON.stringify(catalog));
  return files;
}

beforeEach(async () => {
  servers = [
    await new FaultServer(renamed("first", ["letters", "signs"])).start(),
    await new FaultServer(renamed("second", ["letters", "digits"])).start(),
  ];
  const engine = new ScriptedEngine();
  host = new EngineHost(async () => ({ createEngine: () => engine, filesOf: ScriptedEngine.filesOf }), {
    ...defaultNetwork(),
    backoffMilliseconds: 1,
  });
});
afterEach(() => Promise.all(servers.map((server) => server.stop())));

function load() {
  const base = { url: `${servers[0].url}base.gguf` };
  const catalogUrls = servers.map((server) => `${server.url}catalog.json`);
  return host.load({ base, catalogUrls, device: "cpu", wasmUrl: "" }, () => {}, never());
}

function generate(text: string) {
  const events = { onPiece: () => {}, onProgress: () => {}, onDevice: () => {} };
  return host.generate({ input: text, options: {} }, events, never());
}

test("an id that two catalogues have is written with its catalogue before it", async () => {
  const { experts } = await load();
  assert.deepEqual(
    experts.map(({ id, catalog }) => [id, catalog]),
    [
      ["first/letters", "first"],
      ["signs", "first"],
      ["second/letters", "second"],
      ["digits", "second"],
    ],
  );
});

test("an expert's pages come from the host of its own catalogue", async () => {
  await load();
  for (const server of servers) server.requests.length = 0;
  // Letters go to the first two experts, all else to the last two.
  await generate("a");
  assert.deepEqual(
    new Set(servers[0].requests),
    new Set(["experts/letters.safetensors", "experts/signs.safetensors"]),
  );
  assert.deepEqual(servers[1].requests, []);
  await generate("1");
  assert.deepEqual(
    new Set(servers[1].requests),
    new Set(["experts/letters.safetensors", "experts/digits.safetensors"]),
  );
});

test("the catalogue that is for another base is named, and no model is left", async () => {
  Object.assign(servers[1].files, renamed("second", ["letters"], "other"));
  await assert.rejects(load(), { code: "wrong-base", place: `${servers[1].url}catalog.json` });
  await assert.rejects(generate("a"), { code: "invalid-state" });
});

test("one that is missing is named and stops the others", async () => {
  delete servers[1].files["catalog.json"];
  servers[0].fail("gates.safetensors", "stalls");
  await assert.rejects(load(), { code: "not-found", place: `${servers[1].url}catalog.json` });
});

test("an address with a password is refused before anything is sent", async () => {
  const base = { url: `${servers[0].url}base.gguf` };
  const catalogUrls = [`${servers[1].url.replace("//", "//name:word@")}catalog.json`];
  const loading = host.load({ base, catalogUrls, device: "cpu", wasmUrl: "" }, () => {}, never());
  await assert.rejects(loading, { code: "unsafe-url", place: `${servers[1].url}catalog.json` });
  assert.deepEqual(servers[1].requests, []);
});

test("experts are prefetched by their ids and by their full names, each once", async () => {
  await load();
  for (const server of servers) server.requests.length = 0;
  const prefetch = (...experts: string[]) =>
    host.cache({ ask: "prefetch" as const, experts }, () => {}, never());
  const { pages } = await prefetch("digits", "second/digits", "second/letters");
  assert.equal(pages, 4);
  assert.deepEqual(servers[0].requests, []);
  assert.deepEqual(
    new Set(servers[1].requests),
    new Set(["experts/digits.safetensors", "experts/letters.safetensors"]),
  );
  for (const name of ["letters", "first/digits"]) {
    await assert.rejects(prefetch(name), { code: "unknown-expert", place: "prefetch" });
  }
});

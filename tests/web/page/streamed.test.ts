// Streamed is the same as resident, bit for bit: the built package with the real engine, in Node, on random catalogues,
// with random leftovers in the cache, budgets too small, pools that must let pages go, pages that come in any order or only at
// the third attempt, and aborts. The seed is printed; GANDER_SEED repeats a run.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Answer, Gander, GanderError, GenerateOptions } from "gander";
import { type Fault, FaultServer } from "../fault_server.ts";
import { sha256 } from "../test_ocean.ts";

const trials = 24;
const ocean = "www/demo/ocean";
const seed = Number(process.env.GANDER_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = randomNumbers(seed);
const root = mkdtempSync(join(tmpdir(), "gander-streamed-"));

let server: FaultServer;
let load: typeof Gander.load;
let lines: string[];
let catalog: { experts: { id: string; adapter: { url: string } }[] };

before(async () => {
  console.log(`seed ${seed}`);
  const read = (name: string) => new Uint8Array(readFileSync(join(ocean, name)));
  catalog = JSON.parse(new TextDecoder().decode(read("catalog.json")));
  lines = JSON.parse(new TextDecoder().decode(read("examples.json"))).lines.map(
    ({ text }: { text: string }) => text,
  );
  const names = ["base.gguf", "gates.safetensors", ...catalog.experts.map(({ adapter }) => adapter.url)];
  server = await new FaultServer(Object.fromEntries(names.map((name) => [name, read(name)]))).start();
  const library = pathToFileURL(join(process.cwd(), "www/dist/index.js")).href;
  load = ((await import(library)) as { Gander: typeof Gander }).Gander.load;
});
after(async () => {
  await server?.stop();
  rmSync(root, { recursive: true, force: true });
});

/** What may befall a page once and passes with the next attempt. */
const passing: Fault[] = [
  "cut",
  "drops",
  "altered",
  "truncated",
  "wrong-range",
  "ignores-range",
  503,
  "throttled",
];

let fetched = 0;
let fromCache = 0;
let harmed = 0;
let stopped = 0;
let evicted = 0;

for (let trial = 1; trial <= trials; trial++) {
  test(`trial ${trial}`, async () => {
    const experts = shuffled(catalog.experts).slice(0, 1 + below(catalog.experts.length));
    const gates = gatesOf(experts.map(({ id }) => id));
    const url = `gates-${trial}.safetensors`;
    server.files[url] = gates;
    const described = { ...catalog, experts, gates: { url, bytes: gates.length, sha256: sha256(gates) } };
    server.files[`catalog-${trial}.json`] = new TextEncoder().encode(JSON.stringify(described));
    const files = {
      base: `${server.url}base.gguf`,
      experts: `${server.url}catalog-${trial}.json`,
      device: "cpu" as const,
    };
    const [line = "", other = ""] = [lines[below(lines.length)], lines[below(lines.length)]];
    // With more experts a token every line wants nearly all pages, and there is nothing to make room for.
    const isTight = below(2) === 0;
    const topK = isTight ? 1 : 1 + below(3);
    const options: GenerateOptions = { topK, maxNewTokens: 4 + below(12), trace: true };
    if (below(3) === 0) options.exclude = [experts[0]?.id ?? ""];

    const expected = await resident(files, line, options);

    // Two visitors, so that some find what an earlier trial left.
    const folder = join(root, `visitor-${below(2)}`);
    harm(folder);
    const budgetBytes = [150_000, 8_000_000, 2 ** 30, 2 ** 30][below(4)] ?? 0;
    const network = { backoffMilliseconds: 1 };
    const least = async () =>
      Math.max(...(await Promise.all([line, other].map((text) => leastPool(files, text, options)))));
    const pool = isTight ? { adapterPoolBytes: await least() } : {};
    const model = await load({ ...files, ...pool, cache: { folder, budgetBytes }, network });
    server.delayMilliseconds = () => below(15);
    for (const { adapter } of experts) {
      if (below(2) === 0) server.fail(adapter.url, passing[below(passing.length)] as Fault, 1);
    }
    try {
      if (below(3) === 0) await stopSoon(model, line, options);
      const answer = await model.generate(line, options);
      assert.deepEqual(withoutCosts(answer), withoutCosts(expected));
      const { pagesWanted, pagesFetched, pagesFromCache } = answer.stats;
      // Those that a stopped answer brought are in the engine.
      if (!isTight) assert.ok(pagesWanted >= pagesFetched + pagesFromCache);
      fetched += pagesFetched;
      fromCache += pagesFromCache;
      // Another line's pages take the place of some, which come again; nothing else does.
      if (isTight) await answerAnother(model, files, other, options);
      const again = await model.generate(line, options);
      assert.deepEqual(withoutCosts(again), withoutCosts(expected));
      const broughtAgain = again.stats.pagesFetched + again.stats.pagesFromCache;
      if (isTight) evicted += broughtAgain;
      else assert.equal(broughtAgain, 0);
    } finally {
      server.mend();
      server.delayMilliseconds = 0;
      await model.dispose();
    }
    assert.ok(folderBytes(folder) <= budgetBytes + 4096, "the cache is within its budget");
  });
}

test("the trials had what they are about", () => {
  console.log(
    `${trials} trials: ${fetched} pages fetched, ${fromCache} from the cache, ${evicted} again after they made room, ` +
      `${harmed} entries harmed, ${stopped} stopped`,
  );
  assert.ok(fetched > 0 && fromCache > 0 && evicted > 0 && harmed > 0 && stopped > 0);
});

/** The gates of some experts, out of the file that has those of all. */
function gatesOf(ids: readonly string[]): Uint8Array {
  const all = server.files["gates.safetensors"] as Uint8Array;
  const start = 8 + Number(new DataView(all.buffer, all.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(all.subarray(8, start)));
  const kept: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const [name, tensor] of Object.entries<{ data_offsets: [number, number] }>(header)) {
    if (!ids.some((id) => name.startsWith(`${id}/`))) continue;
    const part = all.subarray(start + tensor.data_offsets[0], start + tensor.data_offsets[1]);
    kept[name] = { ...tensor, data_offsets: [length, length + part.length] };
    parts.push(part);
    length += part.length;
  }
  const json = JSON.stringify(kept);
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  head.writeBigUInt64LE(BigInt(head.length - 8), 0);
  head.write(json, 8);
  return new Uint8Array(Buffer.concat([head, ...parts]));
}

type Files = { base: string; experts: string; device: "cpu" };

/** The answer of a model that has all pages in the engine. */
async function resident(files: Files, line: string, options: GenerateOptions): Promise<Answer> {
  const model = await load({ ...files, cache: false });
  await model.generate(line, options);
  const answer = await model.generate(line, options);
  assert.equal(answer.stats.pagesFetched + answer.stats.pagesFromCache, 0);
  await model.dispose();
  return answer;
}

/** Another line, whose pages may be too many for the pool. */
async function answerAnother(
  model: Gander,
  files: Files,
  line: string,
  options: GenerateOptions,
): Promise<void> {
  const expected = await resident(files, line, options);
  try {
    assert.deepEqual(withoutCosts(await model.generate(line, options)), withoutCosts(expected));
  } catch (error) {
    if ((error as { code?: string }).code !== "pool-too-small") throw error;
  }
}

/**
 * A pool that holds what a single step wants, and hardly more: which pages a step wants that lacks some depends a little on
 * which it lacks. One that is smaller fails by name, and says how much it takes.
 */
async function leastPool(files: Files, line: string, options: GenerateOptions): Promise<number> {
  for (let adapterPoolBytes = 1; ; ) {
    const model = await load({ ...files, adapterPoolBytes, cache: false });
    try {
      await model.generate(line, options);
      return adapterPoolBytes * 1.2;
    } catch (error) {
      const { code, expected } = error as GanderError;
      assert.equal(code, "pool-too-small");
      const needed = Number(/at least (\d+) bytes/.exec(expected)?.[1]);
      assert.ok(needed > adapterPoolBytes, expected);
      adapterPoolBytes = needed;
    } finally {
      await model.dispose();
    }
  }
}

function withoutCosts({ stats: _, ...answer }: Answer): Omit<Answer, "stats"> {
  return answer;
}

/** Starts an answer and gives it up after some pages or tokens. */
async function stopSoon(model: Gander, line: string, options: GenerateOptions): Promise<void> {
  const stop = new AbortController();
  let events = 2 + below(20);
  const event = () => {
    if (events-- === 0) stop.abort();
  };
  const running = model.generate(line, { ...options, signal: stop.signal, onProgress: event });
  try {
    for await (const _ of running) event();
  } catch (error) {
    assert.equal((error as { code?: string }).code, "aborted");
    stopped++;
  }
}

/** Some entries are altered, cut or removed. */
function harm(folder: string): void {
  for (const name of entriesOf(folder)) {
    if (below(8) !== 0) continue;
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const where = below(Math.max(bytes.length, 1));
    if (below(3) === 0) rmSync(path);
    else if (below(2) === 0) writeFileSync(path, bytes.subarray(0, where));
    else {
      bytes[where] = (bytes[where] ?? 0) ^ (1 + below(255));
      writeFileSync(path, bytes);
    }
    harmed++;
  }
}

function folderBytes(folder: string): number {
  return entriesOf(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((one, other) => one.key - other.key)
    .map(({ item }) => item);
}

function below(limit: number): number {
  return Math.floor(random() * limit);
}

/** Numbers from 0 to 1, the same for the same seed (a Weyl sequence, mixed as in MurmurHash3). */
function randomNumbers(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { AdapterStore } from "../../../www/src/adapter_store.ts";
import { DecoderPrefetch } from "../../../www/src/decoder_prefetch.ts";
import type { MissingPage } from "../../../www/src/engine.ts";
import { PageCache } from "../../../www/src/page_cache.ts";
import type { ExpertPage } from "../../../www/src/prefetch.ts";
import { MemoryShelf } from "../../../www/src/shelf.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled, sha256 } from "../test_ocean.ts";

const blocks = ["encoder.block.0", "encoder.block.1", "decoder.block.0", "decoder.block.1"];
let server: FaultServer;
let store: AdapterStore;
let pages: ExpertPage[];
let stop: AbortController;

beforeEach(async () => {
  const file = filled(1024, 1);
  server = await new FaultServer({ date: file, phone: file }).start();
  const network = { ...defaultNetwork(), attempts: 1 };
  store = new AdapterStore(network, new PageCache(new MemoryShelf(), 2 ** 20));
  stop = new AbortController();
  pages = ["date", "phone"].flatMap((expert) =>
    blocks.map((block, index) => {
      const offset = index * 64;
      const hash = sha256(file.subarray(offset, offset + 64));
      return { expert, block, url: server.url + expert, offset, bytes: 64, sha256: hash };
    }),
  );
});
afterEach(() => server.stop());

const missing = (expert: string, block: string) => ({ expert, block }) as MissingPage;
const prefetchFor = (provided: string[] = []) =>
  new DecoderPrefetch(
    store,
    (experts) => pages.filter(({ expert }) => experts.includes(expert)),
    new Set(provided),
    stop.signal,
  );

async function settled(ahead: DecoderPrefetch, pagesPrefetched: number): Promise<void> {
  for (let tries = 0; tries < 200 && ahead.counts().pagesPrefetched < pagesPrefetched; tries++) {
    await new Promise((wake) => setTimeout(wake, 5));
  }
  assert.equal(ahead.counts().pagesPrefetched, pagesPrefetched);
}

test("an expert that half of the encoder wants has its decoder pages fetched, another has not", async () => {
  const ahead = prefetchFor();
  ahead.wanted([missing("date", "encoder.block.1"), missing("phone", "decoder.block.0")]);
  await settled(ahead, 2);
  assert.deepEqual(server.requests, ["date", "date"]);
  ahead.wanted([missing("date", "decoder.block.1")]);
  assert.deepEqual(ahead.counts(), { pagesPrefetched: 2, bytesPrefetched: 128, pagesPrefetchedWanted: 1 });
});

test("what is wanted already, or was given to the engine, is not fetched ahead", async () => {
  const ahead = prefetchFor(["date decoder.block.0"]);
  ahead.wanted([missing("date", "encoder.block.0"), missing("date", "decoder.block.1")]);
  await new Promise((wake) => setTimeout(wake, 30));
  assert.equal(ahead.counts().pagesPrefetched, 0);
  assert.deepEqual(server.requests, []);
});

test("a failure is nobody's concern, and an answer that ends takes its prefetches with it", async () => {
  server.fail("date", 404);
  const failing = prefetchFor();
  failing.wanted([missing("date", "encoder.block.0")]);
  server.fail("phone", "stalls");
  const stopped = prefetchFor();
  stopped.wanted([missing("phone", "encoder.block.0")]);
  while (server.count("phone") < 2) await new Promise((wake) => setTimeout(wake, 5));
  stop.abort();
  await new Promise((wake) => setTimeout(wake, 30));
  assert.equal(failing.counts().pagesPrefetched + stopped.counts().pagesPrefetched, 0);
});

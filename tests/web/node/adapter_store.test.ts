import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { AdapterStore, type PageSource } from "../../../www/src/adapter_store.ts";
import { PageCache } from "../../../www/src/page_cache.ts";
import { MemoryShelf } from "../../../www/src/shelf.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled, sha256 } from "../test_ocean.ts";

const file = filled(4096, 3);
let server: FaultServer;
let cache: PageCache;
let store: AdapterStore;

beforeEach(async () => {
  server = await new FaultServer({ file }).start();
  cache = new PageCache(new MemoryShelf(), 2 ** 20);
  const network = { ...defaultNetwork(), attempts: 3, backoffMilliseconds: 1, stallMilliseconds: 1000 };
  store = new AdapterStore(network, cache);
});
afterEach(() => server.stop());

function source(offset: number, bytes = 64): PageSource {
  return { url: `${server.url}file`, offset, bytes, sha256: sha256(file.subarray(offset, offset + bytes)) };
}

test("a page has the bytes that its hash promises", async () => {
  const { bytes, isFromCache } = await store.page(source(128));
  assert.deepEqual(bytes, file.subarray(128, 192));
  assert.equal(isFromCache, false);
});

test("a page that was there once comes from the cache", async () => {
  await store.page(source(128));
  await cache.settled();
  assert.deepEqual(await store.page(source(128)), { bytes: file.slice(128, 192), isFromCache: true });
  assert.equal(server.requests.length, 1);
});

test("callers who want the same page share one request", async () => {
  const pages = await Promise.all([1, 2, 3].map(() => store.page(source(0))));
  assert.equal(server.requests.length, 1);
  assert.ok(pages.every(({ bytes }) => bytes.length === 64));
});

test("an altered page is asked for twice, then refused, and a later call tries again", async () => {
  server.fail("file", "altered");
  await assert.rejects(store.page(source(0)), { code: "page-mismatch", place: /64 bytes from 0/ });
  assert.equal(server.requests.length, 2);
  server.mend();
  assert.equal((await store.page(source(0))).bytes.length, 64);
});

test("a page of an unreasonable size is refused before anything is allocated or fetched", async () => {
  await assert.rejects(store.page({ ...source(0), bytes: 2 ** 40 }), { code: "invalid-file" });
  assert.equal(server.requests.length, 0);
});

test("a caller who leaves does not take the page from another", async () => {
  server.delayMilliseconds = 50;
  const stop = new AbortController();
  const leaving = store.page(source(0), stop.signal);
  const staying = store.page(source(0));
  stop.abort();
  await assert.rejects(leaving, { code: "aborted" });
  assert.equal((await staying).bytes.length, 64);
});

test("after the last caller has left, a new one gets a new request", async () => {
  server.delayMilliseconds = 50;
  const stop = new AbortController();
  const leaving = store.page(source(0), stop.signal);
  while (server.requests.length === 0) await new Promise((wake) => setTimeout(wake, 1));
  stop.abort();
  await assert.rejects(leaving, { code: "aborted" });
  assert.equal((await store.page(source(0))).bytes.length, 64);
  assert.equal(server.requests.length, 2);
});

test("no more than six requests run at once, and all pages come", async () => {
  server.delayMilliseconds = 10;
  const pages = await Promise.all(Array.from({ length: 30 }, (_, index) => store.page(source(index * 64))));
  assert.equal(pages.length, 30);
  assert.equal(server.mostAtOnce, 6);
});

test("places are free again after failures and aborts", async () => {
  server.fail("file", 404, 20);
  const failed = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => store.page(source(index * 64))),
  );
  assert.ok(failed.every((result) => result.status === "rejected"));
  const stop = new AbortController();
  const stopped = Array.from({ length: 20 }, (_, index) => store.page(source(index * 64), stop.signal));
  stop.abort();
  await Promise.allSettled(stopped);
  assert.equal((await store.page(source(0))).bytes.length, 64);
});

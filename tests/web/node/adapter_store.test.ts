import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { AdapterStore, type PageSource } from "../../../www/src/adapter_store.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled, sha256 } from "../test_ocean.ts";

const file = filled(4096, 3);
let server: FaultServer;
let store: AdapterStore;

beforeEach(async () => {
  server = await new FaultServer({ file }).start();
  store = new AdapterStore({ ...defaultNetwork(), backoffMilliseconds: 1, stallMilliseconds: 1000 });
});
afterEach(() => server.stop());

function source(offset: number, bytes = 64): PageSource {
  return { url: `${server.url}file`, offset, bytes, sha256: sha256(file.subarray(offset, offset + bytes)) };
}

test("a page has the bytes that its hash promises", async () => {
  assert.deepEqual(await store.page(source(128)), file.subarray(128, 192));
});

test("callers who want the same page share one request", async () => {
  const pages = await Promise.all([1, 2, 3].map(() => store.page(source(0))));
  assert.equal(server.requests.length, 1);
  assert.ok(pages.every((page) => page.length === 64));
});

test("an altered page is refused, and a later call tries again", async () => {
  server.fail("file", "altered", 1);
  await assert.rejects(store.page(source(0)), { code: "page-mismatch", place: /64 bytes from 0/ });
  assert.equal((await store.page(source(0))).length, 64);
});

test("a caller who leaves does not take the page from another", async () => {
  server.delayMilliseconds = 50;
  const stop = new AbortController();
  const leaving = store.page(source(0), stop.signal);
  const staying = store.page(source(0));
  stop.abort();
  await assert.rejects(leaving, { code: "aborted" });
  assert.equal((await staying).length, 64);
});

test("after the last caller has left, a new one gets a new request", async () => {
  server.delayMilliseconds = 50;
  const stop = new AbortController();
  const leaving = store.page(source(0), stop.signal);
  while (server.requests.length === 0) await new Promise((wake) => setTimeout(wake, 1));
  stop.abort();
  await assert.rejects(leaving, { code: "aborted" });
  assert.equal((await store.page(source(0))).length, 64);
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
  assert.equal((await store.page(source(0))).length, 64);
});

// Whole files between visits: kept, compared with the server's, gone on with, and used without a network.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { FileStore } from "../../../www/src/file_store.ts";
import { PageCache } from "../../../www/src/page_cache.ts";
import { defaultNetwork } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled, sha256 } from "../test_ocean.ts";

const piece = 4 * 2 ** 20;
const root = mkdtempSync(join(tmpdir(), "gander-files-"));
after(() => rmSync(root, { recursive: true, force: true }));
/** Two pieces and a half, all different. */
const file = filled(2.5 * piece, 5).map((byte, index) => byte ^ (index >> 20));
const network = { ...defaultNetwork(), attempts: 2, backoffMilliseconds: 1, stallMilliseconds: 500 };
let folder: string;
let folders = 0;
let server: FaultServer;

beforeEach(async () => {
  folder = join(root, `${folders++}`);
  server = await new FaultServer({ file }).start();
});
afterEach(() => server.stop());

/** A visit with a model of its own. */
async function visit(
  options: { integrity?: string; budgetBytes?: number; onBytes?: (loaded: number) => void } = {},
): Promise<Uint8Array> {
  const { integrity, budgetBytes = 2 ** 30, onBytes } = options;
  const cache = await PageCache.open({ folder, budgetBytes });
  const url = `${server.url}file`;
  const store = new FileStore(network, cache, integrity ? { [url]: integrity } : {});
  return store.file(url, { limitBytes: 2 ** 30, onBytes });
}

const ranges = () => server.seen.map(({ headers }) => headers.range);

test("a second visit asks whether the file is still the same, and reads no more", async () => {
  assert.deepEqual(await visit(), file);
  const sent = server.bytesSent;
  assert.deepEqual(await visit(), file);
  assert.deepEqual(ranges(), [undefined, "bytes=0-0"]);
  assert.equal(server.bytesSent, sent + 1);
});

test("a file whose hash is known is not asked for again", async () => {
  assert.deepEqual(await visit({ integrity: sha256(file) }), file);
  assert.deepEqual(await visit({ integrity: sha256(file) }), file);
  assert.equal(server.requests.length, 1);
});

test("a new version takes the old one's place", async () => {
  await visit();
  const newer = file.slice();
  newer[10] = 255;
  server.files.file = newer;
  assert.deepEqual(await visit(), newer);
  const bytes = readdirSync(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
  assert.ok(bytes < file.length + 1000, "what only the old version had is gone");
});

test("without versions, the file is read anew each time", async () => {
  server.hasVersions = false;
  await visit();
  const newer = file.slice();
  newer[10] = 255;
  server.files.file = newer;
  assert.deepEqual(await visit(), newer);
});

test("what was loaded once loads again when the server is unwell, slow, or gone", async () => {
  await visit();
  for (const fault of [500, "hangs", "drops", "cut", "busy-for-hours"] as const) {
    server.fail("file", fault);
    assert.deepEqual(await visit(), file, String(fault));
  }
  await server.stop();
  assert.deepEqual(await visit(), file);
});

test("but not when the server says that it is there no more", async () => {
  await visit();
  server.fail("file", 404);
  await assert.rejects(visit(), { code: "not-found" });
  server.mend();
  assert.deepEqual(await visit(), file);
});

test("that a file is not there is known without a network too", async () => {
  server.fail("file", 404);
  await assert.rejects(visit(), { code: "not-found" });
  await server.stop();
  await assert.rejects(visit(), { code: "not-found", problem: "the server had no such file" });
});

test("a download that broke off is gone on with by the next visit, at the last whole piece", async () => {
  server.fail("file", "cut");
  await assert.rejects(visit(), { code: "network" });
  server.mend();
  server.seen.length = 0;
  const loaded: number[] = [];
  assert.deepEqual(await visit({ onBytes: (bytes) => loaded.push(bytes) }), file);
  assert.deepEqual(ranges(), [`bytes=${2 * piece}-`]);
  assert.deepEqual(loaded.slice(0, 2), [piece, 2 * piece]);
  server.seen.length = 0;
  assert.deepEqual(await visit(), file);
  assert.deepEqual(ranges(), ["bytes=0-0"]);
});

test("but from its start if it changed since", async () => {
  server.fail("file", "cut");
  await assert.rejects(visit(), { code: "network" });
  server.mend();
  const newer = file.slice();
  newer[10] = 255;
  server.files.file = newer;
  assert.deepEqual(await visit(), newer);
});

for (const harm of ["altered", "removed", "emptied"] as const) {
  test(`a piece that was ${harm} is fetched again, with what follows it`, async () => {
    await visit();
    server.seen.length = 0;
    const second = join(folder, `${sha256(file.subarray(piece, 2 * piece))}-${piece}`);
    const bytes = readFileSync(second);
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    if (harm === "removed") rmSync(second);
    else writeFileSync(second, harm === "altered" ? bytes : "");
    assert.deepEqual(await visit(), file);
    assert.deepEqual(ranges(), ["bytes=0-0", `bytes=${piece}-`]);
    assert.deepEqual(await visit(), file);
    assert.deepEqual(ranges(), ["bytes=0-0", `bytes=${piece}-`, "bytes=0-0"]);
  });
}

test("a file that is larger than the budget is fetched each time, and right", async () => {
  assert.deepEqual(await visit({ budgetBytes: 2 * piece }), file);
  assert.deepEqual(await visit({ budgetBytes: 2 * piece }), file);
});

test("two visits at once agree", async () => {
  const [one, other] = await Promise.all([visit(), visit()]);
  assert.deepEqual(one, file);
  assert.deepEqual(other, file);
  assert.deepEqual(await visit(), file);
});

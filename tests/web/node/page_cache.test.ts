import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { PageCache } from "../../../www/src/page_cache.ts";
import { MemoryShelf } from "../../../www/src/shelf.ts";
import { filled, sha256 } from "../test_ocean.ts";

const root = mkdtempSync(join(tmpdir(), "gander-cache-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folder: string;
let folders = 0;

beforeEach(() => {
  folder = join(root, `${folders++}`);
});

const open = (budgetBytes: number) => PageCache.open({ folder, budgetBytes });

/** A page and its hash. */
function page(seed: number, length = 100) {
  const bytes = filled(length, seed);
  return { bytes, hash: sha256(bytes) };
}

async function keep(cache: PageCache, ...seeds: number[]): Promise<void> {
  for (const seed of seeds) {
    const { bytes, hash } = page(seed);
    await cache.keepPage(hash, bytes);
  }
}

async function isKept(cache: PageCache, seed: number): Promise<boolean> {
  const { bytes, hash } = page(seed);
  const found = await cache.page(hash, bytes.length);
  if (found) assert.deepEqual(found, bytes);
  return found !== undefined;
}

describe("on disk", () => {
  test("what one model kept, another finds, and the usage is told", async () => {
    await keep(await open(1000), 1, 2);
    const cache = await open(1000);
    assert.ok((await isKept(cache, 1)) && (await isKept(cache, 2)));
    assert.ok(!(await isKept(cache, 3)));
    assert.deepEqual(await cache.usage(), {
      kind: "disk",
      bytes: 200,
      entries: 2,
      budgetBytes: 1000,
      quotaBytes: null,
      problem: null,
    });
  });

  test("a file that was altered or cut short is dropped, not handed out", async () => {
    const cache = await open(1000);
    await keep(cache, 1, 2, 3);
    const files = readdirSync(folder).sort();
    for (const [index, name] of files.entries()) {
      const bytes = readFileSync(join(folder, name));
      bytes[50] = (bytes[50] ?? 0) ^ 1;
      writeFileSync(join(folder, name), index === 0 ? bytes.subarray(0, 99) : bytes);
    }
    assert.deepEqual(
      [await isKept(cache, 1), await isKept(cache, 2), await isKept(cache, 3)],
      [false, false, false],
    );
    assert.deepEqual(readdirSync(folder), []);
    await keep(cache, 1);
    assert.ok(await isKept(cache, 1));
  });

  test("what was of use longest ago makes room", async () => {
    const cache = await open(500);
    await keep(cache, 1, 2, 3, 4, 5);
    for (const [index, seed] of [1, 2, 3, 4, 5].entries()) {
      const { hash } = page(seed);
      utimesSync(join(folder, `${hash}-100`), 1000 + index, 1000 + index);
    }
    const later = await open(500);
    assert.ok(await isKept(later, 1));
    await keep(later, 6);
    const kept = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => isKept(later, seed)));
    assert.deepEqual(kept, [true, false, false, true, true, true]);
    assert.ok((await later.usage()).bytes <= 500);
  });

  test("the budget holds, whatever comes, in whatever order, from two models at once", async () => {
    const caches = [await open(2000), await open(2000)];
    await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        caches[index % 2]?.keepPage(page(index).hash, page(index).bytes),
      ),
    );
    const { bytes, problem } = await (caches[0] as PageCache).usage();
    // Each looks after the other's writes every 64 of its own.
    assert.ok(bytes <= 2000 + 64 * 100, `${bytes}`);
    assert.equal(problem, null);
  });

  test("what the model itself was loaded from does not make room, and what fits nowhere is not kept", async () => {
    const cache = await open(500);
    for (const seed of [1, 2, 3, 4]) cache.pin(page(seed).hash, 100);
    await keep(cache, 1, 2, 3, 4, 5, 6);
    assert.ok(await isKept(cache, 1));
    assert.ok(await isKept(cache, 4));
    const { bytes, hash } = page(7, 501);
    await cache.keepPage(hash, bytes);
    assert.equal(await cache.page(hash, 501), undefined);
    assert.match((await cache.usage()).problem ?? "", /the budget of 500 bytes is full/);
  });

  test("other files in the folder are neither counted nor removed", async () => {
    const cache = await open(300);
    const other = join(folder, "thesis.txt");
    writeFileSync(other, "x".repeat(10_000));
    await keep(cache, 1, 2, 3, 4);
    assert.ok((await cache.usage()).bytes <= 300);
    await cache.clear();
    assert.ok(existsSync(other));
    assert.equal((await cache.usage()).entries, 0);
  });

  test("a folder that cannot be made leaves memory, and the reason", async () => {
    writeFileSync(folder, "a file");
    const cache = await open(1000);
    await keep(cache, 1);
    assert.ok(await isKept(cache, 1));
    const { kind, problem } = await cache.usage();
    assert.equal(kind, "memory");
    assert.match(problem ?? "", /EEXIST|ENOTDIR/);
  });

  test("a folder that goes away costs nothing but the pages", async () => {
    const cache = await open(1000);
    await keep(cache, 1);
    rmSync(folder, { recursive: true });
    assert.ok(!(await isKept(cache, 1)));
    await keep(cache, 2, 3, 4, 5);
    assert.match((await cache.usage()).problem ?? "", /ENOENT/);
  });
});

/** As a browser whose quota is smaller than the budget. */
class FullShelf extends MemoryShelf {
  refused = 0;
  quota: number;

  constructor(quota: number) {
    super();
    this.quota = quota;
  }

  override async write(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const used = (await this.list()).reduce((sum, entry) => sum + entry.bytes, 0);
    if (used + bytes.length > this.quota) {
      this.refused++;
      throw new DOMException("full", "QuotaExceededError");
    }
    await super.write(name, bytes);
  }
}

describe("where the browser's quota is smaller than the budget", () => {
  test("older pages make room", async () => {
    const cache = new PageCache(new FullShelf(450), 10_000);
    await keep(cache, 1, 2, 3, 4, 5, 6, 7, 8);
    assert.ok(await isKept(cache, 8));
    assert.equal((await cache.usage()).problem, null);
  });

  test("where nothing fits, it is said, and after some trials no longer tried", async () => {
    const shelf = new FullShelf(50);
    const cache = new PageCache(shelf, 10_000);
    await keep(cache, 1, 2, 3, 4, 5, 6, 7, 8);
    assert.ok(!(await isKept(cache, 8)));
    assert.match((await cache.usage()).problem ?? "", /QuotaExceededError/);
    assert.ok(shelf.refused < 8);
  });
});

test("notes of any key are found again; broken ones are dropped", async () => {
  const cache = await open(10_000);
  const key = "https://a.example/base.gguf?a=1&b=../..";
  await cache.keepNote(key, "file", { version: '"1"', pieces: [] });
  assert.deepEqual(await cache.note(key, "file"), { version: '"1"', pieces: [] });
  assert.equal(await cache.note(key, "part"), undefined);
  const [name = ""] = readdirSync(folder);
  const written = readFileSync(join(folder, name), "utf8");
  for (const broken of ["", "{", "{}", written.slice(0, -1), written.replace("pieces", "places")]) {
    writeFileSync(join(folder, name), broken);
    assert.equal(await cache.note(key, "file"), undefined, broken);
    assert.deepEqual(readdirSync(folder), []);
  }
});

test("without a cache, pages are kept in memory, and it is said", async () => {
  const cache = await PageCache.open(false);
  await keep(cache, 1);
  assert.ok(await isKept(cache, 1));
  assert.equal(cache.isPersistent, false);
  assert.equal((await cache.usage()).kind, "memory");
});

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { downloadFile, type FileOptions, noneOfFile } from "../../../www/src/download_file.ts";
import { downloadRange } from "../../../www/src/download_range.ts";
import { GanderError } from "../../../www/src/errors.ts";
import { CollectedFile } from "../../../www/src/file_receiver.ts";
import { checkRedirect } from "../../../www/src/safe_url.ts";
import { defaultNetwork, type Network } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled, sha256 } from "../test_ocean.ts";

const file = filled(1_000_000, 1);
const network: Network = {
  ...defaultNetwork(),
  attempts: 3,
  backoffMilliseconds: 1,
  // Long enough for a busy machine; what waits for it says how long.
  stallMilliseconds: 10_000,
  longestWaitMilliseconds: 2000,
};
let server: FaultServer;
let url: string;

before(async () => {
  server = await new FaultServer({ file }).start();
});
after(() => server.stop());
beforeEach(() => {
  server.requests.length = server.seen.length = server.bytesSent = 0;
  server.mend();
  server.hasVersions = true;
  url = `${server.url}file`;
});

function withCode(code: string, text = "") {
  return (error: unknown) =>
    error instanceof GanderError && error.code === code && error.message.includes(text);
}

const ranges = () => server.seen.map(({ headers }) => headers.range);

describe("a byte range", () => {
  const expected = file.subarray(300, 100_300);
  const range = (offset = 300, bytes = 100_000) => {
    const hash = sha256(file.subarray(offset, offset + bytes));
    return downloadRange(network, { url, offset, bytes, sha256: hash });
  };

  test("comes as asked for", async () => {
    assert.deepEqual(await range(), expected);
    assert.deepEqual(ranges(), ["bytes=300-100299"]);
  });

  test("is cut out of the whole file where the server ignores Range", async () => {
    server.fail("file", "ignores-range");
    assert.deepEqual(await range(), expected);
  });

  test("is cut out of an answer that never ends", async () => {
    server.fail("file", "endless");
    const source = { url, offset: 300, bytes: 1000, sha256: sha256(new Uint8Array(1000)) };
    assert.deepEqual(await downloadRange(network, source), new Uint8Array(1000));
  });

  test("far into a file is refused where the server ignores Range", async () => {
    server.fail("file", "ignores-range");
    const source = { url, offset: 32 * 2 ** 20, bytes: 1, sha256: sha256(new Uint8Array(1)) };
    await assert.rejects(downloadRange(network, source), withCode("range-ignored", url));
    assert.equal(server.count("file"), 1);
  });

  test("is gone on with where the connection broke", async () => {
    server.fail("file", "cut", 2);
    assert.deepEqual(await range(), expected);
    assert.deepEqual(ranges(), ["bytes=300-100299", "bytes=50300-100299", "bytes=75300-100299"]);
    assert.equal(server.seen[1]?.headers["if-range"], server.seen[2]?.headers["if-range"]);
    assert.match(String(server.seen[1]?.headers["if-range"]), /^"[0-9a-f]{16}"$/);
  });

  test("is begun again where the file changed meanwhile", async () => {
    server.fail("file", "changes-after-cut", 2);
    assert.deepEqual(await range(), expected);
    assert.equal(server.count("file"), 2);
  });

  for (const fault of ["wrong-range", "long", "altered"] as const) {
    test(`is asked for once more when the answer is of the kind "${fault}", then refused`, async () => {
      server.fail("file", fault);
      await assert.rejects(range(), withCode("page-mismatch", url));
      assert.deepEqual(ranges(), ["bytes=300-100299", "bytes=300-100299"]);
      server.fail("file", fault, 1);
      assert.deepEqual(await range(), expected);
    });
  }

  test("that ends too early is gone on with", async () => {
    server.fail("file", "truncated", 2);
    assert.deepEqual(await range(), expected);
    assert.equal(ranges().at(-1), "bytes=75300-100299");
    server.fail("file", "short");
    await assert.rejects(range(), withCode("page-mismatch", "ended after 99999"));
  });
});

describe("a whole file", () => {
  const whole = async (options: Partial<FileOptions> = {}, patience: Partial<Network> = {}) => {
    const collected = new CollectedFile(url);
    const file = noneOfFile(collected);
    await downloadFile({ ...network, ...patience }, url, file, { limitBytes: 2_000_000, ...options });
    return collected.bytes();
  };

  test("comes with its progress in bytes", async () => {
    const reports: [number, number | null][] = [];
    await whole({ onBytes: (loaded, total) => reports.push([loaded, total]) });
    assert.deepEqual(reports[0], [0, file.length]);
    assert.deepEqual(reports.at(-1), [file.length, file.length]);
    assert.ok(reports.every(([loaded], index) => index === 0 || loaded >= (reports[index - 1]?.[0] ?? 0)));
  });

  test("is tried again after a 503 and after a broken connection", async () => {
    for (const fault of [503, "drops"] as const) {
      server.requests.length = 0;
      server.fail("file", fault, 2);
      assert.deepEqual(await whole(), file);
      assert.equal(server.count("file"), 3);
    }
  });

  test("is gone on with where the connection broke, as long as it comes forward", async () => {
    // The first half counts as progress, the next two are too small for that; and three attempts in a row may fail.
    server.fail("file", "cut", 3);
    assert.deepEqual(await whole(), file);
    assert.deepEqual(ranges(), [undefined, "bytes=500000-", "bytes=750000-", "bytes=875000-"]);
  });

  test("whose version nobody knows is begun again, not put together of two", async () => {
    server.hasVersions = false;
    server.fail("file", "cut", 1);
    assert.deepEqual(await whole(), file);
    assert.deepEqual(ranges(), [undefined, undefined]);
  });

  test("whose hash is known is gone on with in any case, and checked", async () => {
    server.hasVersions = false;
    server.fail("file", "cut", 1);
    assert.deepEqual(await whole({ sha256: sha256(file) }), file);
    assert.deepEqual(ranges(), [undefined, "bytes=500000-"]);
    server.fail("file", "altered");
    await assert.rejects(whole({ sha256: sha256(file) }), withCode("page-mismatch", "SHA-256 is"));
  });

  test("that changes each time is read in one piece", async () => {
    server.fail("file", "changes-after-cut", 2);
    const changed = await whole();
    assert.deepEqual(changed.subarray(0, file.length), file);
    assert.equal(changed.length, file.length + 1);
  });

  test("is given up after three attempts, with the server's last word", async () => {
    server.fail("file", 503);
    await assert.rejects(whole(), withCode("http", "503"));
    assert.equal(server.count("file"), 3);
  });

  test("waits as long as the server asks, if that is not too long", async () => {
    server.fail("file", "busy", 1);
    const start = performance.now();
    assert.deepEqual(await whole(), file);
    assert.ok(performance.now() - start >= 990);
    server.fail("file", "busy-for-hours");
    await assert.rejects(whole(), withCode("http", "asks to wait 7200 s"));
    assert.equal(server.count("file"), 3);
  });

  test("that is not there is asked for once", async () => {
    server.fail("file", 404);
    await assert.rejects(whole(), withCode("not-found", url));
    assert.equal(server.count("file"), 1);
  });

  test("that the server will not give is asked for once", async () => {
    server.fail("file", 403);
    await assert.rejects(whole(), withCode("http", "403"));
    assert.equal(server.count("file"), 1);
  });

  for (const fault of ["hangs", "stalls", "trickles"] as const) {
    test(`whose bytes do not come (${fault}) fails by name`, async () => {
      server.fail("file", fault);
      await assert.rejects(whole({}, { stallMilliseconds: 100 }), withCode("network", "bytes for 0.1 s"));
      assert.equal(server.count("file"), 3);
    });
  }

  test("without end is refused at the limit", async () => {
    server.fail("file", "endless");
    await assert.rejects(whole(), withCode("invalid-file", "does not end"));
  });

  test("from a server that is not there fails by name", async () => {
    url = "http://127.0.0.1:9/file";
    await assert.rejects(whole(), withCode("network", url));
  });

  test("is looked for where a redirect leads, but not everywhere", async () => {
    server.fail("file", "redirects");
    assert.deepEqual(await whole(), file);
    server.fail("file", "redirects-with-password");
    await assert.rejects(whole(), (error) => error instanceof GanderError);
    server.fail("file", "redirects-to-file");
    await assert.rejects(whole(), withCode("network"));
  });

  for (const [address, problem] of [
    ["file:///etc/passwd", '"file:" is not fetched'],
    ["ftp://127.0.0.1/base.gguf", '"ftp:" is not fetched'],
    ["https://me:secret@127.0.0.1/base.gguf", "a name or a password"],
  ] as const) {
    test(`is not fetched from ${address}, and no password is repeated`, async () => {
      url = address;
      await assert.rejects(whole(), withCode("unsafe-url", problem));
      await assert.rejects(whole(), (error) => !String(error).includes("secret"));
    });
  }

  test("can be stopped while its bytes are awaited", async () => {
    server.fail("file", "stalls");
    const stop = new AbortController();
    const running = whole({ signal: stop.signal });
    while (server.count("file") === 0) await new Promise((wake) => setTimeout(wake, 1));
    stop.abort();
    await assert.rejects(running, withCode("aborted"));
    assert.equal(server.count("file"), 1);
  });
});

test("a redirect may lead from http to https and not back", () => {
  checkRedirect("http://a.example/x", "https://b.example/x");
  checkRedirect("https://a.example/x", "https://b.example/x");
  assert.throws(() => checkRedirect("https://a.example/x", "http://a.example/x"), { code: "unsafe-url" });
  assert.throws(() => checkRedirect("https://a.example/x", "https://me:pw@a.example/x"), {
    code: "unsafe-url",
  });
});

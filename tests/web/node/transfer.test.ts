import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { downloadFile, downloadRange } from "../../../www/src/download.ts";
import { GanderError } from "../../../www/src/errors.ts";
import { defaultNetwork, type Network } from "../../../www/src/transfer.ts";
import { FaultServer } from "../fault_server.ts";
import { filled } from "../test_ocean.ts";

const file = filled(100_000, 1);
const network: Network = { ...defaultNetwork(), backoffMilliseconds: 1, stallMilliseconds: 100 };
let server: FaultServer;
let url: string;

before(async () => {
  server = await new FaultServer({ file }).start();
});
after(() => server.stop());
beforeEach(() => {
  server.requests.length = 0;
  server.fail("file", 500, 0);
  url = `${server.url}file`;
});

function withCode(code: string, text = "") {
  return (error: unknown) =>
    error instanceof GanderError && error.code === code && error.message.includes(text);
}

describe("a byte range", () => {
  const range = () => downloadRange(network, url, 300, 1000);
  const expected = file.subarray(300, 1300);

  test("comes as asked for", async () => {
    assert.deepEqual(await range(), expected);
  });

  test("is cut out of the whole file where the server ignores Range", async () => {
    server.fail("file", "ignores-range");
    assert.deepEqual(await range(), expected);
  });

  test("is cut out of an answer that never ends", async () => {
    server.fail("file", "endless");
    assert.deepEqual(await range(), new Uint8Array(1000));
  });

  for (const fault of ["wrong-range", "short", "long"] as const) {
    test(`is refused when the answer is of the kind "${fault}"`, async () => {
      server.fail("file", fault);
      await assert.rejects(range(), withCode("page-mismatch", url));
      assert.equal(server.count("file"), 1);
    });
  }
});

describe("a whole file", () => {
  const whole = (signal?: AbortSignal) => downloadFile(network, url, { limitBytes: 200_000, signal });

  test("comes with its progress in bytes", async () => {
    const reports: [number, number | null][] = [];
    await downloadFile(network, url, { limitBytes: 200_000, onBytes: (...report) => reports.push(report) });
    assert.deepEqual(reports[0]?.[0], 0);
    assert.deepEqual(reports.at(-1)?.[0], file.length);
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

  test("is given up after three attempts, with the server's last word", async () => {
    server.fail("file", 503);
    await assert.rejects(whole(), withCode("http", "503"));
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

  test("whose bytes stop coming fails by name", async () => {
    server.fail("file", "stalls");
    await assert.rejects(whole(), withCode("network", "no bytes for 0.1 s"));
  });

  test("without end is refused at the limit", async () => {
    server.fail("file", "endless");
    await assert.rejects(whole(), withCode("invalid-file", "does not end"));
  });

  test("from a server that is not there fails by name", async () => {
    url = "http://127.0.0.1:9/file";
    await assert.rejects(whole(), withCode("network", url));
  });

  test("can be stopped while its bytes are awaited", async () => {
    server.fail("file", "stalls");
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    await assert.rejects(whole(stop.signal), withCode("aborted"));
    assert.equal(server.count("file"), 1);
  });
});

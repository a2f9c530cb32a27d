import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
// @ts-expect-error: a plain script, without types
import { serve } from "../../../scripts/serve/server.mjs";

let folder: string;
let server: { url: string; close: () => Promise<void> };

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "gander-server-"));
  mkdirSync(join(folder, "www/demo"), { recursive: true });
  writeFileSync(join(folder, "secret.txt"), "secret");
  writeFileSync(join(folder, "www/digits.wasm"), "0123456789");
  writeFileSync(join(folder, "www/demo/index.html"), "<!doctype html>");
  server = await serve({ folder: join(folder, "www"), port: 0, home: "/demo/" });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function get(path: string, range?: string) {
  const response = await fetch(new URL(path, server.url), range ? { headers: { range } } : {});
  return { status: response.status, body: await response.text(), headers: response.headers };
}

test("files come with their types", async () => {
  assert.equal((await get("digits.wasm")).headers.get("content-type"), "application/wasm");
  assert.match((await get("demo/")).headers.get("content-type") ?? "", /^text\/html/);
  assert.equal((await get("")).body, "<!doctype html>");
});

for (const [range, status, body] of [
  ["bytes=2-4", 206, "234"],
  ["bytes=7-", 206, "789"],
  ["bytes=-3", 206, "789"],
  ["bytes=8-99", 206, "89"],
  ["bytes=10-12", 416, ""],
  ["bytes=4-2", 200, "0123456789"],
  ["bytes=0-1,4-5", 200, "0123456789"],
  ["lines=1-2", 200, "0123456789"],
] as const) {
  test(`"Range: ${range}" is answered with ${status}`, async () => {
    const answer = await get("digits.wasm", range);
    assert.equal(answer.status, status);
    assert.equal(answer.body, body);
  });
}

test("nothing outside the folder is served", async () => {
  // fetch would tidy these paths up before they are sent.
  for (const path of [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "//../secret.txt",
    "/%00",
    "/%",
  ]) {
    const status = await new Promise((resolve, reject) => {
      request(new URL(server.url), { path }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on("error", reject)
        .end();
    });
    assert.equal(status, 404, path);
  }
});

test("a taken port leads to the next one", async () => {
  const port = Number(new URL(server.url).port);
  const second = await serve({ folder, port, attempts: 10 });
  assert.notEqual(new URL(second.url).port, String(port));
  await second.close();
});

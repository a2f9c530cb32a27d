import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resolveFileUrl } from "../../../www/src/catalog_files.ts";

const catalog = "https://cdn.example/ocean/catalog.json?version=3";

describe("a URL in a catalogue", () => {
  for (const [url, resolved] of [
    ["gates.safetensors", "https://cdn.example/ocean/gates.safetensors"],
    ["experts/a%20b/x?download=true", "https://cdn.example/ocean/experts/a%20b/x?download=true"],
    ["https://other.example/x", "https://other.example/x"],
    ["HTTP://localhost:8000/x", "http://localhost:8000/x"],
  ] as const) {
    test(`may be ${url}`, () => assert.equal(resolveFileUrl(url, catalog), resolved));
  }

  for (const url of [
    "file:///etc/passwd",
    "data:,x",
    "blob:https://cdn.example/x",
    "javascript:alert(1)",
    "ftp://cdn.example/x",
    "//other.example/x",
    "\\\\other.example\\x",
    "ht\ntps://other.example/x",
    " https://other.example/x",
    "/x",
    "../x",
    "a/../../x",
    "%2e%2e/x",
    ".%2E/x",
    "..\\x",
    "https://",
    "http://[",
  ]) {
    test(`may not be ${JSON.stringify(url)}`, () => {
      assert.throws(() => resolveFileUrl(url, catalog), { code: "invalid-file", place: catalog });
    });
  }

  test("is in the catalogue's own scheme where it is relative", () => {
    const own = "chrome-extension://abcdef/ocean/catalog.json";
    assert.equal(resolveFileUrl("experts/x", own), "chrome-extension://abcdef/ocean/experts/x");
    assert.throws(() => resolveFileUrl("chrome-extension://abcdef/x", own), { code: "invalid-file" });
  });
});

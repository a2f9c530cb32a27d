// docs/catalog.schema.json against what is written and what is read: the schema and the program draw the same line.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Path = (string | number)[];

const golden = "tests/goldens/v11_gated";
const readJson = (file: string) => JSON.parse(readFileSync(file, "utf8"));
let validate: ValidateFunction;
let gander: string;
let folder: string;
let good: Json;

before(() => {
  // strict: false, so that a $ref may have a description beside it.
  validate = new Ajv2020({ strict: false, allErrors: true }).compile(readJson("docs/catalog.schema.json"));
  execFileSync("cargo", ["build", "--quiet", "--locked", "--bin", "gander"], { stdio: "inherit" });
  const metadata = execFileSync("cargo", ["metadata", "--no-deps", "--format-version=1", "--locked"]);
  gander = join(JSON.parse(metadata.toString()).target_directory, "debug", "gander");
  folder = mkdtempSync(join(tmpdir(), "gander-schema-"));
  const experts = ["arithmetic", "chemistry"].map((id) => join(golden, "experts", id));
  execFileSync(gander, ["catalog", "build", "--base", `${golden}/base`, "-o", folder, ...experts]);
  good = readJson(join(folder, "catalog.json"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function assertValid(catalog: Json): void {
  assert.ok(validate(catalog), JSON.stringify(validate.errors, null, 1));
}

/** Whether the program reads it. It is then asked for something that comes after the reading and fails. */
function isRead(catalog: Json): boolean {
  writeFileSync(join(folder, "catalog.json"), JSON.stringify(catalog));
  const { stderr, status } = spawnSync(gander, ["catalog", "remove", folder, "nobody"], { encoding: "utf8" });
  assert.equal(status, 1, stderr);
  return stderr.includes("[unknown-expert]");
}

/** A copy in which one value is another, or is not there. */
function changed(path: Path, value: Json | undefined): Json {
  const copy = structuredClone(good);
  let place = copy as Record<string | number, Json>;
  for (const step of path.slice(0, -1)) place = place[step] as Record<string | number, Json>;
  const last = path.at(-1) as string | number;
  if (value === undefined) delete place[last];
  else place[last] = value;
  return copy;
}

/** Where every kind of value is: of a list only its first. */
function paths(value: Json, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries = Array.isArray(value) ? [[0, value[0]] as const] : Object.entries(value);
  return [
    path,
    ...entries.flatMap(([name, inner]) => (inner === undefined ? [] : paths(inner, [...path, name]))),
  ];
}

describe("the schema", () => {
  test("takes what gander catalog build writes", () => assertValid(good));

  test("takes the demo's catalogue", () => assertValid(readJson("www/demo/ocean/catalog.json")));

  test("takes unknown fields and later minor versions, and no other major version", () => {
    assertValid(changed(["extra"], { colour: "blue" }));
    assertValid(changed(["version"], "1.7"));
    for (const version of ["2.0", "10.0", "0.9", "1.x", "one"]) {
      const catalog = changed(["version"], version);
      assert.ok(!validate(catalog) && !isRead(catalog), version);
    }
  });

  test("refuses whatever the program refuses, field by field", () => {
    const values: (Json | undefined)[] = [undefined, null, "", "a\nb", -1, 1.5, 0, true, {}, []];
    let refused = 0;
    let count = 0;
    for (const path of paths(good).filter((path) => path.length > 0)) {
      for (const value of values) {
        const catalog = changed(path, value);
        // What the schema cannot say: sizes and places that contradict each other.
        const isCrossed = value === 0 && ["offset", "bytes"].includes(String(path.at(-1)));
        const leavesGates = path.length === 1 && path[0] === "experts" && Array.isArray(value);
        if (isCrossed || leavesGates) continue;
        const what = `${path.join(".")} = ${JSON.stringify(value)}`;
        const isValid = validate(catalog);
        assert.equal(isRead(catalog), isValid, `${what}: ${JSON.stringify(validate.errors)}`);
        count++;
        if (!isValid) refused++;
      }
    }
    assert.ok(refused > 200 && count - refused > 20, `${refused} of ${count} refused`);
  });

  test("has the program's rule for URLs", () => {
    const allowed = [
      "x",
      "...",
      "experts/a%20b/x",
      "100%25/x",
      "x?download=true",
      "x?a=../b",
      "https://host/x",
      "HTTPS://host:80/x?y@z",
      "https://host/a@b/../c",
    ];
    const refused = [
      "file:///etc/passwd",
      "data:,x",
      "ftp://host/x",
      "C:/x",
      "https:x",
      "https:///x",
      "https://?x",
      "https://name:word@host/x",
      "//host/x",
      "/x",
      "..",
      "./x",
      "../x",
      "a/../x",
      "a/..?x",
      "a//x",
      "a/",
      "%2e%2E/x",
      "a/.%2e/x",
      "a%2Fb",
      "..\\x",
      "a%5cb",
      "a%00b",
      "a%3Ab",
      "a:b",
      "a/b:c",
      "a#b",
      "a b",
      "é",
    ];
    for (const url of [...allowed, ...refused]) {
      const catalog = changed(["experts", 0, "adapter", "url"], url);
      assert.equal(validate(catalog), allowed.includes(url), `the schema on ${url}`);
      assert.equal(isRead(catalog), allowed.includes(url), `the program on ${url}`);
    }
  });
});

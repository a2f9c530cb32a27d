// What npm packs and installs.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { installed } from "./support.ts";

const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
const read = (name: string) => readFileSync(join(installed, name), "utf8");

test("it holds the modules, their types, the WebAssembly files and its papers, and nothing else", () => {
  const files = readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
    .sort();
  assert.deepEqual(files, [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "package.json",
    "www/dist/elements/palette.d.ts",
    "www/dist/errors.d.ts",
    "www/dist/explain.d.ts",
    "www/dist/gander_bg.wasm",
    "www/dist/gander_relaxed_bg.wasm",
    "www/dist/gander_threads_bg.wasm",
    "www/dist/generation.d.ts",
    "www/dist/index.d.ts",
    "www/dist/index.js",
    "www/dist/model_cache.d.ts",
    "www/dist/packed_routing.d.ts",
    "www/dist/routing_element.d.ts",
    "www/dist/routing_element.js",
    "www/dist/routing_table.d.ts",
    "www/dist/strategies.d.ts",
    "www/dist/trace.d.ts",
    "www/dist/trace_data.d.ts",
    "www/dist/trace_files.d.ts",
    "www/dist/types.d.ts",
    "www/dist/worker.js",
    "www/dist/worker_threads.js",
  ]);
});

test("npm installs it alone and runs nothing", () => {
  const others = readdirSync(join(installed, "..")).filter((name) => !name.startsWith("."));
  assert.deepEqual(others, ["gander"]);
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies", "bundleDependencies"]) {
    assert.equal(manifest[kind], undefined, kind);
  }
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
    assert.equal(manifest.scripts?.[script], undefined, script);
  }
});

test("every export is a file", () => {
  const targets = Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry as Record<string, string>),
  );
  assert.ok(targets.length > 3);
  for (const target of targets) assert.ok(existsSync(join(installed, target)), target);
});

for (const name of ["worker.js", "worker_threads.js"]) {
  test(`${name} imports nothing, so that a copy of it works wherever it lies`, () => {
    const worker = read(`www/dist/${name}`);
    assert.deepEqual(worker.match(/\bimport\s*[({"'*].{20}|\bfrom\s*["'].{20}|import\.meta/g), null);
  });
}

test("each file of the package is asked for in one place, in the form that bundlers know", () => {
  const modules = readdirSync(join(installed, "www/dist")).filter((name) => name.endsWith(".js"));
  const found = modules.flatMap(
    (name) => read(`www/dist/${name}`).match(/new URL\([^()]*import\.meta\.url\)/g) ?? [],
  );
  assert.deepEqual(found.sort(), [
    'new URL("./gander_bg.wasm",import.meta.url)',
    'new URL("./gander_relaxed_bg.wasm",import.meta.url)',
    'new URL("./gander_threads_bg.wasm",import.meta.url)',
    'new URL("./worker.js",import.meta.url)',
    'new URL("./worker_threads.js",import.meta.url)',
  ]);
});

test("the licence is the repository's, and the readme shows how to begin", () => {
  assert.equal(read("LICENSE"), readFileSync("LICENSE", "utf8"));
  assert.equal(manifest.license, "Apache-2.0");
  assert.match(read("README.md"), /Gander\.load/);
});

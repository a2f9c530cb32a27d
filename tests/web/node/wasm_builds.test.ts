import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { chosenWasm } from "../../../www/src/wasm_builds.ts";

const files = {
  plain: new URL("file:///plain.wasm"),
  relaxed: new URL("file:///relaxed.wasm"),
  threads: new URL("file:///threads.wasm"),
};

test("an engine that knows the instruction takes the relaxed build, every other the plain one", () => {
  assert.equal(
    chosenWasm(files, 1, () => true),
    files.relaxed,
  );
  assert.equal(
    chosenWasm(files, 1, () => false),
    files.plain,
  );
});

test("several threads take the build that has them, whatever the engine knows besides", () => {
  for (const knows of [true, false]) {
    assert.equal(
      chosenWasm(files, 2, () => knows),
      files.threads,
    );
  }
});

test("it asks with a module that is one wherever the instruction is known", () => {
  let asked = new Uint8Array();
  chosenWasm(files, 1, (module) => {
    asked = new Uint8Array(module as ArrayBuffer);
    return false;
  });
  const source = (bytes: Uint8Array) => `WebAssembly.validate(Uint8Array.from([${[...bytes]}]))`;
  const answer = (bytes: Uint8Array, flags: string[]) =>
    execFileSync(process.execPath, [...flags, "-p", source(bytes)], { encoding: "utf8" }).trim();
  const isKnown = answer(asked, []) === "true";
  // Node 20 has it behind a flag, which later ones no longer know.
  assert.equal(answer(asked, isKnown ? [] : ["--experimental-wasm-relaxed-simd"]), "true");
});

test("where there is no WebAssembly the choice throws nothing", () => {
  const { WebAssembly: engine } = globalThis;
  try {
    Reflect.deleteProperty(globalThis, "WebAssembly");
    assert.equal(chosenWasm(files, 1), files.plain);
  } finally {
    globalThis.WebAssembly = engine;
  }
});

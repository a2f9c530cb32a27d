// src/ -> pkg/: the crate compiled to WebAssembly, with its JavaScript glue, optimised for size.

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { outputOf, runOrThrow } from "../lib/command.mjs";
import { packageFolder, root, wasmTarget } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { fingerprint, isFresh, markFresh } from "../lib/stamp.mjs";
import { ensureWasmTarget } from "../setup/wasm_target.mjs";
import { ensureWasmBindgen } from "../setup/wasm_tools.mjs";

export async function buildWasm() {
  const environment = await ensureWasmTarget();
  const tools = await ensureWasmBindgen();
  const bindgen = join(tools, "wasm-bindgen");

  say("cargo build for WebAssembly ...");
  const build = ["build", "--lib", "--release", "--locked", "--no-default-features", "--target", wasmTarget];
  await runOrThrow("cargo", build, { environment });

  // Cargo knows by itself what is fresh; the two steps after it do not.
  const compiled = join(targetFolder(), wasmTarget, "release/gander.wasm");
  const outputs = ["gander.js", "gander_bg.wasm", "gander.d.ts"].map((name) => join(packageFolder, name));
  const lock = readFileSync(join(root, "package-lock.json"));
  // The package says where the module is; a second `new URL` would only make bundlers copy it twice.
  const glue = ["--target", "web", "--omit-default-module-path"];
  const version = outputOf(bindgen, ["--version"]) ?? "";
  const inputs = fingerprint(readFileSync(compiled), lock, version, ...glue);
  if (isFresh("wasm", inputs, outputs)) return;

  say("wasm-bindgen and wasm-opt ...");
  rmSync(packageFolder, { recursive: true, force: true });
  await runOrThrow(bindgen, [compiled, "--out-dir", packageFolder, ...glue]);
  const module = join(packageFolder, "gander_bg.wasm");
  await runOrThrow(process.execPath, [
    join(root, "node_modules/binaryen/bin/wasm-opt"),
    // -O3 and not -Oz: the matrix products are most of the time and little of the size.
    ...["-O3", "--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int"],
    ...["--enable-sign-ext", "--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"],
    ...[module, "-o", module],
  ]);
  markFresh("wasm", inputs);
}

function targetFolder() {
  return process.env.CARGO_TARGET_DIR || join(root, "target");
}

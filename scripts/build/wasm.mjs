// src/ -> pkg/: the crate compiled to WebAssembly, in each of its builds, with the JavaScript glue of each, which some share.

import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { outputOf, runOrThrow } from "../lib/command.mjs";
import { localCache, packageFolder, root, wasmTarget } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { fingerprint, isFresh, markFresh } from "../lib/stamp.mjs";
import { ensureWasmTarget } from "../setup/wasm_target.mjs";
import { ensureWasmThreads } from "../setup/wasm_threads.mjs";
import { ensureWasmBindgen } from "../setup/wasm_tools.mjs";
import { wasmBuilds } from "./wasm_builds.mjs";

const builtFolder = join(localCache, "wasm");
const glueEndings = [".js", ".d.ts"];

export async function buildWasm() {
  const bindgen = join(await ensureWasmBindgen(), "wasm-bindgen");
  for (const build of wasmBuilds) await buildOne(build, await environmentOf(build), bindgen);

  rmSync(packageFolder, { recursive: true, force: true });
  mkdirSync(packageFolder, { recursive: true });
  for (const build of wasmBuilds) {
    copyFileSync(join(builtFolder, build.name, "gander_bg.wasm"), join(packageFolder, build.file));
    const first = wasmBuilds.find(({ glue }) => glue === build.glue);
    for (const ending of glueEndings) {
      if (build === first) copyFileSync(glueOf(build, ending), join(packageFolder, `${build.glue}${ending}`));
      else expectSame(glueOf(first, ending), glueOf(build, ending));
    }
  }
}

/** @param {import("./wasm_builds.mjs").WasmBuild} build */
export function environmentOf(build) {
  return build.hasThreads ? ensureWasmThreads() : ensureWasmTarget();
}

function glueOf({ name }, ending) {
  return join(builtFolder, name, `gander${ending}`);
}

/** @param {import("./wasm_builds.mjs").WasmBuild} build */
async function buildOne(build, environment, bindgen) {
  say(`cargo build for WebAssembly (${build.name}) ...`);
  const cargo = ["build", "--lib", "--release", "--locked", "--no-default-features", "--target", wasmTarget];
  const folderOfCargo = ["--target-dir", build.targetFolder];
  await runOrThrow("cargo", [...cargo, ...folderOfCargo, ...build.cargo], { environment });

  // Cargo knows by itself what is fresh; the two steps after it do not.
  const compiled = join(build.targetFolder, wasmTarget, "release/gander.wasm");
  const folder = join(builtFolder, build.name);
  const lock = readFileSync(join(root, "package-lock.json"));
  // The package says where the module is; a second `new URL` would only make bundlers copy it twice.
  const options = ["--target", "web", "--omit-default-module-path"];
  const version = outputOf(bindgen, ["--version"]) ?? "";
  const inputs = fingerprint(readFileSync(compiled), lock, version, ...options, ...build.wasmOpt);
  const stamp = `wasm-${build.name}`;
  const outputs = [...glueEndings, "_bg.wasm"].map((ending) => join(folder, `gander${ending}`));
  if (isFresh(stamp, inputs, outputs)) return;

  say(`wasm-bindgen and wasm-opt (${build.name}) ...`);
  rmSync(folder, { recursive: true, force: true });
  await runOrThrow(bindgen, [compiled, "--out-dir", folder, ...options]);
  const module = join(folder, "gander_bg.wasm");
  await runOrThrow(process.execPath, [
    join(root, "node_modules/binaryen/bin/wasm-opt"),
    // -O3 and not -Oz: the matrix products are most of the time and little of the size.
    ...["-O3", "--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int"],
    ...["--enable-sign-ext", "--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"],
    ...build.wasmOpt,
    ...[module, "-o", module],
  ]);
  markFresh(stamp, inputs);
}

function expectSame(...files) {
  const [first, other] = files.map((file) => withoutNotes(readFileSync(file, "utf8")));
  if (first !== other) {
    throw new Error(`${files.join(" and ")} differ; expected one glue that fits every build that shares it`);
  }
}

/** A note tells a function's place in the module's table, which is another in each build. */
function withoutNotes(script) {
  return script.replaceAll(/^\s*\/\/ Cast intrinsic for .*$/gm, "");
}

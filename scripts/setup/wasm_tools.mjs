// Programs that are crates: wasm-bindgen's command line in the version that fits ours, wasm-pack, Firefox's WebDriver.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { outputOf, runOrThrow } from "../lib/command.mjs";
import { root, userCache } from "../lib/paths.mjs";
import { say, seconds } from "../lib/say.mjs";

const wasmPackVersion = "0.15.1";
const geckodriverVersion = "0.37.1";

/** @returns {Promise<string>} the folder of `wasm-bindgen` and `wasm-bindgen-test-runner` */
export async function ensureWasmBindgen() {
  // wasm-bindgen-cli's own lock file names crates that no longer build together; the newest compatible ones do.
  return ensureCargoTool("wasm-bindgen-cli", "wasm-bindgen", wasmBindgenVersion(), []);
}

/** @returns {Promise<string>} the folder of `wasm-pack` */
export async function ensureWasmPack() {
  return ensureCargoTool("wasm-pack", "wasm-pack", wasmPackVersion, ["--locked"]);
}

/** @returns {Promise<string>} the folder of `geckodriver`, which Debian does not have */
export async function ensureGeckodriver() {
  return ensureCargoTool("geckodriver", "geckodriver", geckodriverVersion, ["--locked"]);
}

/** The crate in Cargo.lock and the command line must be of exactly one version. */
function wasmBindgenVersion() {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  if (!version)
    throw new Error("Cargo.lock: no package wasm-bindgen found; expected the version the crate uses");
  return version;
}

async function ensureCargoTool(crate, program, version, flags) {
  const folder = join(userCache, "tools", `${crate}-${version}`);
  const programs = join(folder, "bin");
  const installed = outputOf(join(programs, program), ["--version"]);
  if (installed?.split("\n")[0].split(" ")[1] === version) return programs;
  say(`cargo install ${crate} ${version} into ${folder} (a few minutes, once) ...`);
  const start = performance.now();
  await runOrThrow("cargo", ["install", crate, "--version", version, "--root", folder, "--quiet", ...flags]);
  say(`  ${crate} is there after ${seconds(performance.now() - start)}`);
  return programs;
}

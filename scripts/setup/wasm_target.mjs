// A Rust toolchain that compiles to WebAssembly.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { outputOf, run, runOrThrow } from "../lib/command.mjs";
import { userCache, wasmTarget } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";

const fallbackName = "gander-wasm";

/**
 * @returns {Promise<Record<string, string>>} what to add to the environment of cargo and wasm-pack when they build for
 *   WebAssembly: nothing, where the ordinary toolchain can.
 */
export async function ensureWasmTarget() {
  if (outputOf("cargo", ["--version"]) === undefined) {
    throw new Error(
      "cargo is not here: install Rust with rustup (see https://rustup.rs), then run this again",
    );
  }
  const forced = process.env.GANDER_WASM_FALLBACK === "1";
  if (!forced) {
    if (hasTarget()) return {};
    say(`rustup target add ${wasmTarget} ...`);
    const added = await run("timeout", ["180", "rustup", "target", "add", wasmTarget]);
    if (added.status === 0 && hasTarget()) return {};
    say("rustup cannot bring the target here");
  }
  return ensureFallback();
}

/** @returns {Promise<Record<string, string>>} an environment with Debian's rustc-web, unpacked beside the ordinary toolchain */
export async function ensureFallback() {
  const folder = join(userCache, "debian-wasm-toolchain");
  if (!hasTarget(join(folder, "bin/rustc"))) {
    say("falling back to Debian's rustc-web, unpacked beside the toolchain that is here");
    say("  (150 MB to download and about two minutes to build, once)");
    await runOrThrow("bash", ["scripts/setup/debian_wasm_toolchain.sh", folder]);
  }
  await runOrThrow("rustup", ["toolchain", "link", fallbackName, folder], { quiet: true });
  return { RUSTUP_TOOLCHAIN: fallbackName };
}

/** Whether the standard library for the target is where this rustc looks for it. */
function hasTarget(rustc = "rustc") {
  const folder = outputOf(rustc, ["--print", "target-libdir", "--target", wasmTarget]);
  return (
    folder !== undefined &&
    existsSync(folder) &&
    readdirSync(folder).some((name) => name.startsWith("libcore-") && name.endsWith(".rlib"))
  );
}

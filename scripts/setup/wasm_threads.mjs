// A Rust toolchain that compiles to WebAssembly with threads. The standard library that comes with a toolchain has none, so
// cargo compiles it too, from its source, which is one more component of the toolchain.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { outputOf, run } from "../lib/command.mjs";
import { say } from "../lib/say.mjs";
import { ensureFallback, ensureWasmTarget } from "./wasm_target.mjs";

/** @returns {Promise<Record<string, string>>} what to add to the environment of cargo */
export async function ensureWasmThreads() {
  return { ...(await ensureSource()), RUSTC_BOOTSTRAP: "1" };
}

async function ensureSource() {
  const environment = await ensureWasmTarget();
  if (hasSource(environment)) return environment;
  say("rustup component add rust-src ...");
  const added = await run("timeout", ["180", "rustup", "component", "add", "rust-src"]);
  if (added.status === 0 && hasSource(environment)) return environment;
  say("rustup cannot bring the source of the standard library here");
  return ensureFallback();
}

function hasSource(environment) {
  const sysroot = outputOf("rustc", ["--print", "sysroot"], environment);
  return sysroot !== undefined && existsSync(join(sysroot, "lib/rustlib/src/rust/library/Cargo.lock"));
}

// The builds of the crate for WebAssembly. They differ in what they ask of the engine and of the page; a page loads one of
// them, and www/src/wasm_builds.ts chooses which.

import { join } from "node:path";
import { root } from "../lib/paths.mjs";

/**
 * @typedef {object} WasmBuild
 * @property {string} name
 * @property {string} file what it is called in the package
 * @property {string} glue what wasm-bindgen's JavaScript for it is called in pkg/, without the ending
 * @property {string} targetFolder where cargo builds it
 * @property {string[]} cargo more parameters for cargo
 * @property {string[]} wasmOpt instructions that wasm-opt is to know besides those of the plain build
 * @property {boolean} hasThreads whether the standard library must be one for threads: scripts/setup/wasm_threads.mjs
 */

const cargoFolder = process.env.CARGO_TARGET_DIR || join(root, "target");

/** For every browser. @type {WasmBuild} */
const plain = {
  name: "plain",
  file: "gander_bg.wasm",
  glue: "gander",
  targetFolder: cargoFolder,
  cargo: [],
  wasmOpt: [],
  hasThreads: false,
};

/** For engines with relaxed SIMD, where a dot product of bytes is one instruction: `src/panels/relaxed.rs`. */
export const relaxed = {
  ...plain,
  name: "relaxed",
  file: "gander_relaxed_bg.wasm",
  // Both would write the same file, and each would have the other compiled again, the next time too.
  targetFolder: join(cargoFolder, "relaxed"),
  cargo: ["--features", "relaxed-simd"],
  wasmOpt: ["--enable-relaxed-simd"],
};

/** Exported for the glue: what a thread is started with. */
const threadSymbols = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base", "__heap_base"];

const threadFlags = [
  "-Ctarget-feature=+atomics,+bulk-memory",
  // The most that WebAssembly addresses; the page may reserve less (www/src/shared_memory.ts).
  ...["--shared-memory", "--import-memory", `--max-memory=${2 ** 32}`].map((link) => `-Clink-arg=${link}`),
  ...threadSymbols.map((symbol) => `-Clink-arg=--export=${symbol}`),
];

/** For pages that are cross-origin isolated: several workers compute on one memory, `src/threads/web.rs`. */
export const threads = {
  name: "threads",
  file: "gander_threads_bg.wasm",
  // Another glue: what it reads from shared memory it copies before the browser sees it.
  glue: "gander_threads",
  // Its flags are others for all crates: in one folder, each build would have the next compile all of them again.
  targetFolder: join(cargoFolder, "threads"),
  cargo: [
    "-Zbuild-std=std,panic_abort",
    ...["--config", `target.wasm32-unknown-unknown.rustflags=${JSON.stringify(threadFlags)}`],
  ],
  wasmOpt: ["--enable-threads"],
  hasThreads: true,
};

/** @type {WasmBuild[]} */
export const wasmBuilds = [plain, relaxed, threads];

// The builds of the crate for WebAssembly. They differ in what they ask of the engine; a page loads one of them, and
// www/src/wasm_builds.ts chooses which. All share one glue.

/**
 * @typedef {object} WasmBuild
 * @property {string} name
 * @property {string} file what it is called in the package
 * @property {string[]} cargo more parameters for cargo
 * @property {string[]} wasmOpt instructions that wasm-opt is to know besides those of the plain build
 */

/** For every browser. */
const plain = { name: "plain", file: "gander_bg.wasm", cargo: [], wasmOpt: [] };

/** For engines with relaxed SIMD, where a dot product of bytes is one instruction: `src/panels/relaxed.rs`. */
export const relaxed = {
  name: "relaxed",
  file: "gander_relaxed_bg.wasm",
  cargo: ["--features", "relaxed-simd"],
  wasmOpt: ["--enable-relaxed-simd"],
};

/** @type {WasmBuild[]} The first one's glue is the package's. */
export const wasmBuilds = [plain, relaxed];

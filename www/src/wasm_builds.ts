// Which of the package's WebAssembly files this engine takes: scripts/build/wasm_builds.mjs makes them.

import type { WasmBuild } from "./types.ts";

/**
 * A module with one function, which calls the one relaxed instruction that src/panels/relaxed.rs is about:
 * `(func (param v128 v128 v128) (result v128) (i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 1) (local.get 2)))`.
 */
const relaxedDot = new Uint8Array([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b],
  ...[3, 2, 1, 0],
  ...[10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x93, 2, 0x0b],
]);

/**
 * @param files where they are, by build
 * @param threads the relaxed build has one
 * @param validates whether the engine takes a module; where it has none, what starts it will say so
 */
export function chosenWasm(
  files: Record<WasmBuild, URL>,
  threads: number,
  validates: (module: BufferSource) => boolean = globalThis.WebAssembly?.validate ?? (() => false),
): URL {
  if (threads > 1) return files.threads;
  return validates(relaxedDot) ? files.relaxed : files.plain;
}

// How much a visitor downloads before the model, and that it stays small.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { distFolder } from "../lib/paths.mjs";
import { kilobytes, say } from "../lib/say.mjs";

const limits = { raw: 1_200_000, brotli: 450_000 };
/** Loaded by itself, and by those pages alone that draw routing. */
const apart = new Set(["routing_element.js"]);

/** Prints the sizes of the package's modules; throws if they have outgrown their limits. */
export function checkSize() {
  const total = { raw: 0, brotli: 0 };
  /** Of the builds of the engine a page loads one: the largest counts. */
  const engine = { raw: 0, brotli: 0 };
  for (const name of readdirSync(distFolder).filter((file) => /\.(js|wasm)$/.test(file))) {
    const bytes = readFileSync(join(distFolder, name));
    const size = { raw: bytes.length, brotli: brotliSize(bytes) };
    print(name, size);
    if (apart.has(name)) continue;
    const isEngine = name.endsWith(".wasm");
    for (const kind of ["raw", "brotli"]) {
      if (isEngine) engine[kind] = Math.max(engine[kind], size[kind]);
      else total[kind] += size[kind];
    }
  }
  for (const kind of ["raw", "brotli"]) total[kind] += engine[kind];
  print("together, as one page loads", total);
  for (const kind of ["raw", "brotli"]) {
    if (total[kind] > limits[kind]) {
      throw new Error(
        `www/dist: ${kilobytes(total[kind])} ${kind}; expected at most ${kilobytes(limits[kind])}`,
      );
    }
  }
}

function brotliSize(bytes) {
  const parameters = { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return brotliCompressSync(bytes, { params: parameters }).length;
}

function print(name, { raw, brotli }) {
  say(`  ${name.padEnd(24)} ${kilobytes(raw).padStart(8)} raw ${kilobytes(brotli).padStart(8)} brotli`);
}

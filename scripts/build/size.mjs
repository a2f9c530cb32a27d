// How much a visitor downloads before the model, and that it stays small.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { distFolder } from "../lib/paths.mjs";
import { kilobytes, say } from "../lib/say.mjs";

const limits = { raw: 1_200_000, brotli: 450_000 };
/** Loaded by itself, and by those pages alone that draw routing. */
const apart = new Set(["routing_element.js"]);

/** Of the workers with their builds of the engine a page loads one: with threads or without. */
const isThreads = (name) => /threads/.test(name);

/** Prints the sizes of the package's modules; throws if they have outgrown their limits. */
export function checkSize() {
  const names = readdirSync(distFolder).filter((file) => /\.(js|wasm)$/.test(file));
  const files = names.map((name) => {
    const bytes = readFileSync(join(distFolder, name));
    return { name, raw: bytes.length, brotli: brotliSize(bytes) };
  });
  for (const { name, ...size } of files) print(name, size);
  const loaded = files.filter(({ name }) => !apart.has(name));
  const common = loaded.filter(({ name }) => !/^worker|\.wasm$/.test(name));
  for (const withThreads of [false, true]) {
    const own = loaded.filter((file) => !common.includes(file) && isThreads(file.name) === withThreads);
    const [scripts, builds] = [".js", ".wasm"].map((ending) =>
      own.filter(({ name }) => name.endsWith(ending)),
    );
    const total = {};
    for (const kind of ["raw", "brotli"]) {
      const sizes = (files) => files.map((file) => file[kind]);
      total[kind] = [...sizes(common), ...sizes(scripts), Math.max(...sizes(builds))].reduce((a, b) => a + b);
    }
    print(`a page ${withThreads ? "with" : "without"} threads`, total);
    expectWithin(total);
  }
}

function expectWithin(total) {
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

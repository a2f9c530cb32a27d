// Remembers what an output was made from, so that it is not made again from the same.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { localCache } from "./paths.mjs";

const folder = join(localCache, "stamps");

/** @param {(string | Buffer)[]} inputs */
export function fingerprint(...inputs) {
  const hash = createHash("sha256");
  for (const input of inputs) hash.update(input).update("\0");
  return hash.digest("hex");
}

export function isFresh(name, inputs, outputs) {
  const stamp = join(folder, name);
  return (
    existsSync(stamp) && readFileSync(stamp, "utf8") === inputs && outputs.every((path) => existsSync(path))
  );
}

export function markFresh(name, inputs) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), inputs);
}

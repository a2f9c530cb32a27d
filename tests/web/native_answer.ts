// What the native program answers, for tests that compare a page with it.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** The ocean that comes with the repository. */
export const ocean = "www/demo/ocean";

export interface NativeAnswer {
  text: string;
  routing?: { module: string; token: number; experts: string[]; weights: number[] }[];
}

export function nativeAnswer(text: string, ...options: string[]): NativeAnswer {
  const files = ["--base", join(ocean, "base.gguf"), "--experts", join(ocean, "catalog.json")];
  const generate = ["generate", ...files, "--text", text, "--json", ...options];
  const run = ["run", "--quiet", "--locked", "--", ...generate];
  return JSON.parse(execFileSync("cargo", run, { encoding: "utf8", maxBuffer: 1 << 26 }));
}

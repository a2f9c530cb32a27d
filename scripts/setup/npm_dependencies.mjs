// node_modules as package-lock.json says.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../lib/command.mjs";
import { root } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { fingerprint, isFresh, markFresh } from "../lib/stamp.mjs";

export async function ensureNpmDependencies() {
  const inputs = fingerprint(
    readFileSync(join(root, "package-lock.json")),
    `${process.platform} ${process.arch} ${process.versions.modules}`,
  );
  if (isFresh("npm", inputs, [join(root, "node_modules/.package-lock.json")])) return;
  say("npm ci: installing what package-lock.json names (about 20 s) ...");
  await runOrThrow("npm", ["ci", "--no-audit", "--no-fund"], { quiet: true });
  markFresh("npm", inputs);
}

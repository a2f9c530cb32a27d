// Vite, webpack, Next and what else the package is tested with. They are large and not of the package's own making, so
// they live outside the repository, once for every version of their package-lock.json.

import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../lib/command.mjs";
import { root, userCache } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { fingerprint } from "../lib/stamp.mjs";

const pinned = join(root, "tests/package/frameworks");

/** @returns {Promise<string>} a folder with the frameworks in its node_modules */
export async function ensureFrameworks() {
  const lock = readFileSync(join(pinned, "package-lock.json"));
  const platform = `${process.platform} ${process.arch} ${process.versions.modules}`;
  const folder = join(userCache, `frameworks-${fingerprint(lock, platform).slice(0, 16)}`);
  if (existsSync(folder)) return folder;

  say("npm ci: installing Vite, webpack and Next (about 30 s) ...");
  // It gets its name when it is whole, so one that was broken off is not taken for one.
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    for (const name of ["package.json", "package-lock.json"])
      cpSync(join(pinned, name), join(unfinished, name));
    const install = ["ci", "--prefix", unfinished, "--ignore-scripts", "--no-audit", "--no-fund"];
    await runOrThrow("npm", install, { quiet: true });
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

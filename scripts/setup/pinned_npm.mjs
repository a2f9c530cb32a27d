// npm packages that tests and documentation need, and the package itself does not: Vite, webpack, Next; TypeDoc with a
// compiler of its own. They are large, so they live outside the repository, once for every version of their lock file.

import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../lib/command.mjs";
import { root, userCache } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { fingerprint } from "../lib/stamp.mjs";

/**
 * @param {string} name a folder of scripts/pinned
 * @returns {Promise<string>} a folder with the packages in its node_modules
 */
export async function ensurePinned(name) {
  const pinned = join(root, "scripts/pinned", name);
  const lock = readFileSync(join(pinned, "package-lock.json"));
  const platform = `${process.platform} ${process.arch} ${process.versions.modules}`;
  const folder = join(userCache, `${name}-${fingerprint(lock, platform).slice(0, 16)}`);
  if (existsSync(folder)) return folder;

  say(`npm ci: installing scripts/pinned/${name} (up to 30 s) ...`);
  // It gets its name when it is whole, so one that was broken off is not taken for one.
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    for (const file of ["package.json", "package-lock.json"])
      cpSync(join(pinned, file), join(unfinished, file));
    const install = ["ci", "--prefix", unfinished, "--ignore-scripts", "--no-audit", "--no-fund"];
    await runOrThrow("npm", install, { quiet: true });
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

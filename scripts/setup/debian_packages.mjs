// What only Debian's packages bring: browsers and drivers.

import { existsSync } from "node:fs";
import { runOrThrow } from "../lib/command.mjs";
import { say } from "../lib/say.mjs";

/**
 * Installs packages if one of the files that they bring is missing. Without root it says what to install instead.
 *
 * @param {string[]} files that must be there
 * @param {string[]} packages that bring them
 */
export async function ensurePackages(files, packages) {
  const missing = files.find((file) => !existsSync(file));
  if (missing === undefined) return;
  if (process.getuid?.() !== 0) {
    throw new Error(`no ${missing}: run "sudo apt-get install ${packages.join(" ")}" first`);
  }
  say(`apt-get install ${packages.join(" ")} ...`);
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
  await runOrThrow("apt-get", ["update", "-qq"], { quiet: true });
  await runOrThrow("apt-get", install, { environment, quiet: true });
}

// The package as its users get it: packed by npm, installed in fresh folders, run by what they run.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../lib/command.mjs";
import { ensureBrowser, ensureFirefox } from "../setup/browser.mjs";
import { ensurePinned } from "../setup/pinned_npm.mjs";
import { runNodeTests } from "./node_tests.mjs";

export async function testPackage() {
  await ensureBrowser();
  await ensureFirefox();
  const frameworks = await ensurePinned("frameworks");
  // Below the frameworks, so that what is made here finds them as a package in a monorepo finds what is hoisted.
  const folder = mkdtempSync(join(frameworks, "run-"));
  try {
    await runOrThrow("npm", ["pack", "--pack-destination", folder], { quiet: true });
    const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    await installTarball(join(folder, tarball), join(folder, "installed"));
    return await runNodeTests("package", { GANDER_PACKAGE_TEST: folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function installTarball(tarball, folder) {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  // Without the network: a package without dependencies needs nothing else.
  const install = ["install", "--prefix", folder, "--offline", "--no-audit", "--no-fund"];
  await runOrThrow("npm", [...install, tarball], { quiet: true });
}

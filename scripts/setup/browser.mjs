// Chromium and its driver, for the tests.

import { existsSync } from "node:fs";
import { runOrThrow } from "../lib/command.mjs";
import { say } from "../lib/say.mjs";

export const chromium = "/usr/bin/chromium";
export const chromedriver = "/usr/bin/chromedriver";

export async function ensureBrowser() {
  if (existsSync(chromium) && existsSync(chromedriver)) return;
  const packages = ["chromium", "chromium-driver"];
  if (process.getuid?.() !== 0) {
    throw new Error(`no Chromium at ${chromium}: run "sudo apt-get install ${packages.join(" ")}" first`);
  }
  say("apt-get install chromium chromium-driver ...");
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
  await runOrThrow("apt-get", ["update", "-qq"], { quiet: true });
  await runOrThrow("apt-get", install, { environment, quiet: true });
}

// The browsers, for the tests, with their drivers.

import { ensurePackages } from "./debian_packages.mjs";

export const chromium = "/usr/bin/chromium";
export const chromedriver = "/usr/bin/chromedriver";
export const firefox = "/usr/bin/firefox-esr";

export async function ensureBrowser() {
  await ensurePackages([chromium, chromedriver], ["chromium", "chromium-driver"]);
}

/** Firefox finds its GPU in Mesa, so the Vulkan driver is a part of it. Its WebDriver is a crate: see wasm_tools.mjs. */
export async function ensureFirefox() {
  await ensurePackages([firefox], ["firefox-esr", "mesa-vulkan-drivers"]);
}

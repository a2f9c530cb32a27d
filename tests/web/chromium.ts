// The Chromium that tests look at pages with.

import { type Browser, chromium } from "playwright-core";

/** @param flags besides those that a test machine needs */
export function launchChromium(...flags: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", ...flags],
  });
}

// How much memory a browser's pages take. Linux only.

import { processMemory } from "../process_memory.mjs";

/**
 * The most that the largest process of pages has held so far, in bytes: one page's, if the browser has no other.
 * @param {import("playwright-core").Browser} browser
 */
export async function mostPageMemory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const pages = processInfo.filter(({ type }) => type === "renderer");
  return Math.max(...pages.map(({ id }) => processMemory(id, "VmHWM")));
}

// How much memory a browser's pages take. Linux only.

import { readFileSync } from "node:fs";

/**
 * The most that the largest process of pages has held so far, in bytes: one page's, if the browser has no other.
 * @param {import("playwright-core").Browser} browser
 */
export async function mostPageMemory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const pages = processInfo.filter(({ type }) => type === "renderer");
  return Math.max(...pages.map(({ id }) => mostMemory(id)));
}

function mostMemory(process) {
  const status = readFileSync(`/proc/${process}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]) * 1024;
}

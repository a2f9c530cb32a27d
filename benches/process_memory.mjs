// How much memory a process takes. Linux only.

import { readFileSync } from "node:fs";

/**
 * In bytes.
 * @param {number | "self"} process its id
 * @param {"VmHWM" | "VmRSS"} name `VmHWM`: the most so far; `VmRSS`: now
 */
export function processMemory(process, name) {
  const status = readFileSync(`/proc/${process}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]) * 1024;
}

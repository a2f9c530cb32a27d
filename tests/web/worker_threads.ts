// Counts the workers of browsers that this process started, as Linux sees them: a browser does not tell a page of the workers of
// its workers.

import { readdirSync, readFileSync } from "node:fs";

/** Threads of workers, of all programs below this one. */
export function workerThreads(): number {
  const parents = new Map<number, number>();
  for (const process of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const parent = /^PPid:\s*(\d+)/m.exec(read(`/proc/${process}/status`))?.[1];
    if (parent !== undefined) parents.set(Number(process), Number(parent));
  }
  const isBelow = (id: number): boolean => {
    const parent = parents.get(id);
    return parent !== undefined && (parent === process.pid || isBelow(parent));
  };
  let count = 0;
  for (const id of [...parents.keys()].filter(isBelow)) {
    for (const thread of list(`/proc/${id}/task`)) {
      if (read(`/proc/${id}/task/${thread}/comm`).startsWith("DedicatedWorker")) count++;
    }
  }
  return count;
}

/** Processes and threads end while one looks. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

// How much memory the loading of a base takes at its peak, beside the file's size, in Node on the CPU: cold, and again from
// the cache. Linux only. usage: node benches/load_memory.mjs FILE.gguf

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { distFolder } from "../scripts/lib/paths.mjs";
import { serve } from "../scripts/serve/server.mjs";
import { processMemory } from "./process_memory.mjs";

if (process.argv[2] === "load") {
  const [, , , url, folder] = process.argv;
  const { Gander } = await import(join(distFolder, "index.js"));
  // The engine itself, and what a first fetch costs, are no part of the file.
  await Gander.load({ base: new ArrayBuffer(8), cache: false }).catch(() => {});
  await (await fetch(new URL("/", url))).text();
  globalThis.gc();
  const before = processMemory("self", "VmRSS");
  const start = performance.now();
  const model = await Gander.load({ base: url, cache: { folder } });
  const seconds = (performance.now() - start) / 1000;
  const peak = processMemory("self", "VmHWM") - before;
  globalThis.gc();
  console.log(
    JSON.stringify({
      peak,
      kept: processMemory("self", "VmRSS") - before,
      seconds,
      tokens: model.base.vocabSize,
    }),
  );
  await model.dispose();
} else {
  const file = resolve(process.argv[2]);
  const { size } = statSync(file);
  const server = await serve({ folder: dirname(file), port: 0 });
  const cache = mkdtempSync(join(tmpdir(), "gander-memory-"));
  console.log("| base | peak / file | kept / file | seconds |");
  console.log("|---|---|---|---|");
  for (const title of ["over the network", "from the cache"]) {
    const parameters = ["--expose-gc", process.argv[1], "load", server.url + basename(file), cache];
    const child = spawn(process.execPath, parameters, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    for await (const chunk of child.stdout) text += chunk;
    const { peak, kept, seconds } = JSON.parse(text);
    const share = (bytes) => (bytes / size).toFixed(2);
    console.log(`| ${title} | ${share(peak)} | ${share(kept)} | ${seconds.toFixed(2)} |`);
  }
  console.log(`file: ${(size / 2 ** 20).toFixed(1)} MiB`);
  rmSync(cache, { recursive: true, force: true });
  await server.close();
}

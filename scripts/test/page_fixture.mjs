// A copy of the site with the scripted engine in place of the WebAssembly one: the page can be tested in every state,
// the unhappy ones included, without a model.

import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildDemo } from "../build/demo.mjs";
import { bundlePackage } from "../build/package.mjs";
import { root } from "../lib/paths.mjs";

/**
 * @param {string} folder the site's root; emptied first
 * @param {Record<string, Uint8Array | string>} ocean the files below demo/ocean
 */
export async function buildPageFixture(folder, ocean) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, "www/demo"), join(folder, "demo"), {
    recursive: true,
    filter: (path) => !["ocean", "sixteen"].some((name) => path === join(root, "www/demo", name)),
  });
  cpSync(join(root, "www/service_worker.js"), join(folder, "service_worker.js"));
  const scripted = join(root, "tests/web/scripted_engine_module.ts");
  await bundlePackage(join(folder, "dist"), { "#engine": scripted, "#engine-threads": scripted });
  await buildDemo(join(folder, "dist/demo"));
  for (const [name, content] of Object.entries(ocean)) {
    const path = join(folder, "demo/ocean", name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}

// www/src/ -> www/dist/: the npm package, as ES modules with their types and the WebAssembly files beside them.

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { runOrThrow } from "../lib/command.mjs";
import { distFolder, packageFolder, root } from "../lib/paths.mjs";
import { wasmBuilds } from "./wasm_builds.mjs";

export async function buildPackage() {
  rmSync(distFolder, { recursive: true, force: true });
  mkdirSync(distFolder, { recursive: true });
  await bundlePackage(distFolder);
  for (const { file } of wasmBuilds) copyFileSync(join(packageFolder, file), join(distFolder, file));
  await runOrThrow(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.types.json"]);
}

/**
 * @param {string} folder where the modules go
 * @param {Record<string, string>} [alias] other modules in place of some; tests put a scripted engine for `#engine`
 */
export async function bundlePackage(folder, alias = {}) {
  const bundle = (name, options) =>
    build({
      absWorkingDir: root,
      entryPoints: { [name]: `www/src/${name}.ts` },
      outdir: folder,
      bundle: true,
      format: "esm",
      target: "es2022",
      minify: true,
      alias,
      logLevel: "warning",
      ...options,
    });
  await bundle("index", { external: ["./worker.js"] });
  // A worker is one file that imports nothing: bundlers copy it without looking inside.
  await bundle("worker", {});
  // The same engine, with the glue of the build that has threads.
  await bundle("worker_threads", { alias: { "#engine": "#engine-threads", ...alias } });
  // The element is one file: a page may show routing without running a model.
  await bundle("routing_element", {});
}

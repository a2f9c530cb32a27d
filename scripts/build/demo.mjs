// www/demo/*.ts -> www/dist/demo/. The page itself is served as it is.

import { build } from "esbuild";
import { demoDistFolder, root } from "../lib/paths.mjs";

export async function buildDemo(folder = demoDistFolder) {
  await build({
    absWorkingDir: root,
    entryPoints: ["www/demo/demo.ts"],
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    // The page's import map says where the package is: the demo uses it as any page would.
    external: ["gander"],
    minify: true,
    logLevel: "warning",
  });
}

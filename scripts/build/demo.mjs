// www/demo/*.ts -> www/dist/demo/. The page itself is served as it is.

import { build } from "esbuild";
import { demoDistFolder, root } from "../lib/paths.mjs";

/** The package is a file beside the demo, as for any page. An import map would be a script inside the page, which its content policy forbids. */
const packageBeside = {
  name: "package-beside",
  setup({ onResolve }) {
    onResolve({ filter: /^gander$/ }, () => ({ path: "../index.js", external: true }));
    const element = { path: "../routing_element.js", external: true };
    onResolve({ filter: /^gander\/routing-element$/ }, () => element);
  },
};

export async function buildDemo(folder = demoDistFolder) {
  const common = {
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    target: "es2022",
    minify: true,
    logLevel: "warning",
  };
  await build({
    ...common,
    entryPoints: ["www/demo/demo.ts"],
    format: "esm",
    plugins: [packageBeside],
  });
  // The one runs before the page is drawn, the other where some browsers know no modules.
  await build({
    ...common,
    entryPoints: ["www/demo/theme.ts", "www/demo/service_worker.ts"],
    format: "iife",
  });
}

// Tests that run in Node. They are written in TypeScript, which Node 20 cannot read by itself: bundled first.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { run } from "../lib/command.mjs";
import { localCache, root } from "../lib/paths.mjs";
import { countNodeTests } from "./counts.mjs";

/** @param {string} name a folder of tests */
export async function runNodeTests(name, environment = {}) {
  const output = join(localCache, "tests", name);
  rmSync(output, { recursive: true, force: true });
  const folder = join(root, "tests", name);
  const files = readdirSync(folder).filter((file) => file.endsWith(".test.ts"));
  await build({
    absWorkingDir: root,
    entryPoints: files.map((file) => join(folder, file)),
    outdir: output,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["playwright-core", "esbuild", "gander"],
    sourcemap: "inline",
    logLevel: "warning",
  });
  const bundles = files.map((file) => join(output, file.replace(/\.ts$/, ".mjs")));
  const parameters = [
    "--enable-source-maps",
    "--test",
    "--test-reporter=spec",
    "--test-timeout=300000",
    ...bundles,
  ];
  const { status, output: report } = await run(process.execPath, parameters, { environment });
  return countNodeTests(report, status);
}

// npm run build: everything a browser needs, into www/dist.

import { say, seconds } from "./lib/say.mjs";
import { ensureNpmDependencies } from "./setup/npm_dependencies.mjs";

export async function buildAll() {
  const start = performance.now();
  await ensureNpmDependencies();
  // Only now: these import from node_modules.
  const { buildWasm } = await import("./build/wasm.mjs");
  const { buildPackage } = await import("./build/package.mjs");
  const { buildDemo } = await import("./build/demo.mjs");
  const { checkSize } = await import("./build/size.mjs");
  await buildWasm();
  say("bundling the package and the demo ...");
  await buildPackage();
  await buildDemo();
  checkSize();
  say(`built in ${seconds(performance.now() - start)}`);
}

if (process.argv[1] === new URL(import.meta.url).pathname) await buildAll();

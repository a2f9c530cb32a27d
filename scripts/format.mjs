// npm run format: Rust and TypeScript as the tests want them.

import { join } from "node:path";
import { runOrThrow } from "./lib/command.mjs";
import { root } from "./lib/paths.mjs";
import { ensureNpmDependencies } from "./setup/npm_dependencies.mjs";

await ensureNpmDependencies();
await runOrThrow("cargo", ["fmt"]);
await runOrThrow(join(root, "node_modules/.bin/biome"), ["check", "--write", "."]);

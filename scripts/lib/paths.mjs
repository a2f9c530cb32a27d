// Where things are.

import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** Outside the repository, so that a second clone finds what took minutes to build. */
export const userCache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "gander");

/** Inside the repository, ignored by git: what belongs to this working tree. */
export const localCache = join(root, ".cache");

export const packageFolder = join(root, "pkg");
export const distFolder = join(root, "www/dist");
export const demoDistFolder = join(distFolder, "demo");
export const wasmTarget = "wasm32-unknown-unknown";

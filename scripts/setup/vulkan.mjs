// A Vulkan driver, for the native tests on the GPU: whatever is there, or Mesa's llvmpipe, which needs no hardware.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePackages } from "./debian_packages.mjs";

const folder = "/usr/share/vulkan/icd.d";
const llvmpipe = join(folder, "lvp_icd.x86_64.json");

/** @returns {Promise<Record<string, string>>} the environment that programs on the GPU need */
export async function ensureVulkan() {
  const hasDriver = existsSync(folder) && readdirSync(folder).length > 0;
  if (!hasDriver) await ensurePackages([llvmpipe], ["mesa-vulkan-drivers"]);
  if (process.env.XDG_RUNTIME_DIR) return {};
  // Without this folder, Mesa complains on the same stream as the program.
  const runtime = join(tmpdir(), "gander-runtime");
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  return { XDG_RUNTIME_DIR: runtime };
}

// Brings what the comparison needs into one folder to serve: the built package, the peer, and the model for each.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "../../scripts/lib/command.mjs";
import { distFolder, root, userCache } from "../../scripts/lib/paths.mjs";
import { say } from "../../scripts/lib/say.mjs";
import { randomExperts } from "./random_experts.mjs";

export const peerVersion = "4.3.1";
const nativePeerVersion = "4.8.5";
export const peerScript = join(root, "benches/side_by_side/ctranslate2_peer.py");

const modelScript = join(root, "benches/side_by_side/random_model.py");

const cache = join(userCache, "side-by-side");

/**
 * The folder to serve.
 * @param {string | undefined} models what random_model.py made, if it is there already
 * @param {number[]} experts in `experts-N` the catalogue of so many random ones
 */
export async function prepare(models, experts) {
  if (!existsSync(join(distFolder, "index.js"))) throw new Error("www/dist is not built; run npm run build");
  mkdirSync(cache, { recursive: true });
  const made = resolve(models ?? (await makeModels()));
  const base = await quantisedBase(made);
  const peer = join(cache, "peer");
  if (!existsSync(join(peer, "node_modules/@huggingface/transformers"))) {
    say(`installing transformers.js ${peerVersion} ...`);
    mkdirSync(peer, { recursive: true });
    const name = `@huggingface/transformers@${peerVersion}`;
    // Its Node half downloads binaries when it is installed.
    await must("npm", ["install", "--ignore-scripts", "--no-save", "--prefix", peer, name]);
  }
  const folder = join(cache, "served");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  cpSync(distFolder, join(folder, "dist"), { recursive: true });
  cpSync(join(root, "benches/side_by_side/page.html"), join(folder, "index.html"));
  cpSync(join(root, "benches/side_by_side/engines.mjs"), join(folder, "engines.mjs"));
  symlinkSync(base, join(folder, "base.gguf"));
  symlinkSync(join(made, "peer"), join(folder, "peer"));
  symlinkSync(join(peer, "node_modules"), join(folder, "npm"));
  for (const count of experts) {
    symlinkSync(await randomExperts(base, count, cache), join(folder, `experts-${count}`));
  }
  return folder;
}

/**
 * What the comparison without a browser runs.
 * @param {string | undefined} models what random_model.py made, if it is there already
 */
export async function prepareNative(models) {
  mkdirSync(cache, { recursive: true });
  const folder = join(cache, "ctranslate2");
  const python = join(folder, "python/bin/python");
  if (!existsSync(python)) await must("python3", ["-m", "venv", join(folder, "python")]);
  // A Python that has torch from somewhere else does not install it again.
  const wanted = [
    ["ctranslate2", `ctranslate2==${nativePeerVersion}`],
    ["transformers", "transformers<5"],
    ["torch", "torch"],
  ];
  const missing = wanted.filter(([module]) => spawnSync(python, ["-c", `import ${module}`]).status !== 0);
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name);
    say(`installing ${packages.join(", ")} (with torch some gigabytes) ...`);
    await must(python, ["-m", "pip", "install", "--quiet", ...packages]);
  }

  const made = resolve(models ?? join(cache, "models"));
  if (models === undefined && !existsSync(join(made, "base/model.safetensors"))) {
    say("making a random flan-t5-small ...");
    await must(python, [modelScript, made, "--base"]);
  }
  const base = await quantisedBase(made);
  await must("cargo", ["build", "--quiet", "--locked", "--release", "--example", "answer_time"]);
  const target = process.env.CARGO_TARGET_DIR || join(root, "target");
  const program = join(target, "release/examples/answer_time");
  const peer = join(folder, "model");
  if (!existsSync(join(peer, "model.bin")))
    await must(python, [peerScript, "convert", join(made, "base"), peer]);
  return { python, peer, program, base, peerVersion: nativePeerVersion };
}

/**
 * A folder with a random flan-t5-small in Q8_0, `base.gguf`, and the catalogue of so many random experts for it.
 * @param {number} experts
 */
export async function prepareExperts(experts) {
  mkdirSync(cache, { recursive: true });
  const base = await quantisedBase(await makeModels());
  const folder = await randomExperts(base, experts, cache);
  if (!existsSync(join(folder, "base.gguf"))) symlinkSync(base, join(folder, "base.gguf"));
  return folder;
}

/** The base in Q8_0. */
async function quantisedBase(made) {
  const base = join(cache, "base.gguf");
  const source = join(made, "base/model.safetensors");
  if (!existsSync(base) || statSync(base).mtime < statSync(source).mtime) {
    rmSync(base, { force: true });
    const quantize = ["quantize", join(made, "base"), "-o", base, "--type", "q8_0"];
    await must("cargo", ["run", "--quiet", "--locked", "--", ...quantize]);
  }
  return base;
}

async function makeModels() {
  const made = join(cache, "models");
  if (existsSync(join(made, "peer/onnx/decoder_model_merged_quantized.onnx"))) return made;
  const python = join(cache, "python/bin/python");
  if (!existsSync(python)) await must("python3", ["-m", "venv", join(cache, "python")]);
  say("installing what exports to ONNX (some gigabytes with torch) ...");
  const packages = ["optimum-onnx", "onnx", "onnx-ir", "onnxruntime", "torch"];
  await must(python, ["-m", "pip", "install", "--quiet", ...packages]);
  say("making a random flan-t5-small ...");
  await must(python, [modelScript, made]);
  return made;
}

async function must(program, parameters) {
  const { status } = await run(program, parameters, { quiet: true });
  if (status !== 0) throw new Error(`${program} ${parameters.join(" ")} failed`);
}

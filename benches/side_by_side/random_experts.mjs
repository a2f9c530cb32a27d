// Experts with random weights for a flan-t5-small, to time what any number of them costs.

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../../scripts/lib/command.mjs";
import { say } from "../../scripts/lib/say.mjs";

const blocks = 8;
const [model, inner, feedForward] = [512, 384, 1024];

/** By layer: inputs and outputs. */
const attention = { q: [model, inner], k: [model, inner], v: [model, inner], o: [inner, model] };
const dense = { wi_0: [model, feedForward], wi_1: [model, feedForward], wo: [feedForward, model] };

/** Of more than 64 experts a smaller one, so that all of them fit into WebAssembly's 4 GiB. */
export const rankOf = (experts) => (experts > 64 ? 4 : 16);

/**
 * Writes a catalogue of `count` experts, unless it is there.
 * @returns {Promise<string>} its folder
 */
export async function randomExperts(base, count, into) {
  const rank = rankOf(count);
  const folder = join(into, `experts-${count}-rank-${rank}`);
  if (existsSync(folder)) return folder;
  say(`making ${count} random experts ...`);
  const work = `${folder}.work`;
  rmSync(work, { recursive: true, force: true });
  const names = Array.from({ length: count }, (_, index) => join(work, `expert-${index}`));
  for (const [index, name] of names.entries()) writeExpert(name, index, rank);
  const build = ["catalog", "build", "--base", base, ...names, "-o", join(work, "catalog")];
  await runOrThrow("cargo", ["run", "--release", "--quiet", "--bin", "gander", "--", ...build]);
  renameSync(join(work, "catalog"), folder);
  rmSync(work, { recursive: true });
  return folder;
}

function writeExpert(folder, seed, rank) {
  const random = randomNumbers(seed + 1);
  const matrix = (rows, cols, scale) => Float32Array.from({ length: rows * cols }, () => scale * random());
  const tensors = {};
  for (const [module, [inputs, outputs]] of modules()) {
    const key = `base_model.model.${module}`;
    tensors[`${key}.lora_A.weight`] = [[rank, inputs], matrix(rank, inputs, 0.1)];
    tensors[`${key}.lora_B.weight`] = [[outputs, rank], matrix(outputs, rank, 0.01)];
    tensors[`${key}.lora_gate.weight`] = [[inputs], matrix(1, inputs, 1)];
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "adapter_model.safetensors"), safetensors(tensors));
  const config = { peft_type: "LORA", r: rank, lora_alpha: 2 * rank, target_modules: ".*" };
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(config));
}

function* modules() {
  for (let block = 0; block < blocks; block++) {
    yield* layer(`encoder.block.${block}.layer.0.SelfAttention`, attention);
    yield* layer(`encoder.block.${block}.layer.1.DenseReluDense`, dense);
    yield* layer(`decoder.block.${block}.layer.0.SelfAttention`, attention);
    yield* layer(`decoder.block.${block}.layer.1.EncDecAttention`, attention);
    yield* layer(`decoder.block.${block}.layer.2.DenseReluDense`, dense);
  }
}

function layer(name, shapes) {
  return Object.entries(shapes).map(([linear, shape]) => [`${name}.${linear}`, shape]);
}

/** From −1 to 1, the same ones again for the same seed. */
function randomNumbers(seed) {
  let state = seed * 2654435761;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function safetensors(tensors) {
  const header = {};
  const parts = [];
  let end = 0;
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    parts.push(Buffer.from(values.buffer));
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

// What `trace: true` costs, with and without in turn, in Node: the demo's own model, or, with a number of experts, a random
// flan-t5-small with so many random ones.
//
//   npm run build && node benches/trace_cost.mjs [rounds] [experts] [processes]
//
// Counted is the time that a process computed, so that other work on the machine does not count. What the compiler and the garbage
// collector make of it is another in each process, by as much as the whole costs: so there are several.

import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { outputOf } from "../scripts/lib/command.mjs";
import { root } from "../scripts/lib/paths.mjs";
import { serve } from "../scripts/serve/server.mjs";
import { prepareExperts } from "./side_by_side/prepare.mjs";

const [rounds = 20, experts = 0, processes = 10] = process.argv.slice(2).map(Number);
if (processes > 0) {
  // None of its own: it measures itself.
  const one = [process.argv[1], rounds, experts, 0].map(String);
  const outputs = Array.from({ length: processes }, () => JSON.parse(outputOf(process.execPath, one)));
  const [off, on, shares] = [0, 1, 2].map((column) => outputs.map((output) => output[column]));
  const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;
  const percents = shares.toSorted((a, b) => a - b).map((share) => (100 * share).toFixed(1));
  console.log(
    `${cpus()[0].model}, ${cpus().length} cores; Node ${process.versions.node}; ${rounds} rounds a process`,
  );
  console.log(`without: ${mean(off).toFixed(3)} ms a token; with: ${mean(on).toFixed(3)} ms`);
  console.log(`more: ${(100 * mean(shares)).toFixed(1)} % (${percents.join(", ")})`);
  process.exit();
}
const { Gander } = await import(join(root, "www/dist/index.js"));
const pilot = join(root, "www/demo/ocean");
const server = await serve({ folder: experts > 0 ? await prepareExperts(experts) : pilot, port: 0 });
const model = await Gander.load({
  base: `${server.url}base.gguf`,
  experts: `${server.url}catalog.json`,
  device: "cpu",
});
const { lines } = JSON.parse(readFileSync(join(pilot, "examples.json"), "utf8"));
const texts = lines.slice(0, 12).map(({ text }) => text);
// A random model never ends by itself.
const questions =
  experts > 0
    ? [{ input: Array.from({ length: 32 }, (_, id) => 100 + 37 * id), maxNewTokens: 32 }]
    : texts.map((input) => ({ input }));

/** Milliseconds of computing for a token, the encoder's part included. */
async function millisecondsPerToken(trace) {
  const before = process.cpuUsage();
  let tokens = 0;
  for (const { input, ...options } of questions) {
    tokens += (await model.generate(input, { ...options, trace })).stats.tokens;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / tokens;
}

const times = { off: [], on: [] };
for (let round = -2; round < rounds; round++) {
  for (const kind of round % 2 ? ["off", "on"] : ["on", "off"]) {
    const time = await millisecondsPerToken(kind === "on");
    // The first rounds fetch pages and warm the compiler up.
    if (round >= 0) times[kind].push(time);
  }
}
await model.dispose();
await server.close();

// What disturbs only ever makes slower.
const least = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 5)];
const [off, on] = [times.off, times.on].map(least);
console.log(JSON.stringify([off, on, on / off - 1]));

// What `trace: true` costs, with and without in turn, in Node: the demo's own model, or, with a number of experts, a random
// flan-t5-small with so many random ones.
//
//   npm run build && node benches/trace_cost.mjs [rounds] [experts]
//
// Counted is the time that the process computed, so that other work on the machine does not count.

import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { root } from "../scripts/lib/paths.mjs";
import { serve } from "../scripts/serve/server.mjs";
import { prepareExperts } from "./side_by_side/prepare.mjs";

const [rounds, experts] = [process.argv[2] ?? 20, process.argv[3] ?? 0].map(Number);
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

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const differences = times.on.map((time, round) => time - times.off[round]);
const [off, on, more] = [times.off, times.on, differences].map(median);
console.log(`${cpus()[0].model}, ${cpus().length} cores; Node ${process.versions.node}; ${rounds} rounds`);
console.log(`without: ${off.toFixed(3)} ms a token; with: ${on.toFixed(3)} ms; median of the differences:`);
console.log(`${more.toFixed(3)} ms a token, ${((100 * more) / off).toFixed(1)} %`);

// What `trace: true` costs: the demo's own model in Node, with and without, in turn.
//
//   npm run build && node benches/trace_cost.mjs [rounds]
//
// Counted is the time that the process computed, so that other work on the machine does not count.

import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { root } from "../scripts/lib/paths.mjs";
import { serve } from "../scripts/serve/server.mjs";

const rounds = Number(process.argv[2] ?? 20);
const { Gander } = await import(join(root, "www/dist/index.js"));
const server = await serve({ folder: join(root, "www/demo/ocean"), port: 0 });
const model = await Gander.load({
  base: `${server.url}base.gguf`,
  experts: `${server.url}catalog.json`,
  device: "cpu",
});
const { lines } = JSON.parse(readFileSync(join(root, "www/demo/ocean/examples.json"), "utf8"));
const texts = lines.slice(0, 12).map(({ text }) => text);

/** Milliseconds of computing for a token, the encoder's part included. */
async function millisecondsPerToken(trace) {
  const before = process.cpuUsage();
  let tokens = 0;
  for (const text of texts) tokens += (await model.generate(text, { trace })).stats.tokens;
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

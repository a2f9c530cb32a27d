// npm test: everything that must hold, in the order of how soon it fails. Each stage prints its duration; a failure
// does not keep the later ones from running. The last line is the total.
//
// usage: npm test [-- --only NAME,NAME]

import { parseArgs } from "node:util";
import { heading, say, seconds } from "./lib/say.mjs";
import { ensureNpmDependencies } from "./setup/npm_dependencies.mjs";
import { countStep } from "./test/counts.mjs";

const { values } = parseArgs({ options: { only: { type: "string" } } });
const only = values.only?.split(",");

const total = { passed: 0, failed: 0, skipped: 0 };
const rows = [];

/** Runs one stage; what it throws is a failure with a reason. */
async function stage(name, work) {
  heading(name);
  const start = performance.now();
  let counts;
  try {
    counts = await work();
  } catch (error) {
    say(`${name}: ${error.message}`);
    counts = countStep(1);
  }
  for (const kind of Object.keys(total)) total[kind] += counts[kind];
  const duration = seconds(performance.now() - start);
  const row = `${name.padEnd(44)} ${duration.padStart(8)}   ${inWords(counts)}`;
  rows.push(row);
  say(row);
}

function inWords({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

await stage("npm dependencies", async () => {
  await ensureNpmDependencies();
  // Preparation, not a test: it counts only if it fails.
  return { passed: 0, failed: 0, skipped: 0 };
});
// Only now: the stages import from node_modules.
const { stages } = await import("./test/stages.mjs").catch((error) => {
  say(`the stages could not be read: ${error.message}`);
  total.failed++;
  return { stages: [] };
});
for (const unknown of only?.filter((name) => !stages.some((entry) => entry.name === name)) ?? []) {
  throw new Error(`--only ${unknown}: expected one of ${stages.map((entry) => entry.name).join(", ")}`);
}
for (const { name, title, run } of stages) {
  if (!only || only.includes(name)) await stage(title, run);
}

heading("summary");
for (const row of rows) say(row);
say(inWords(total));
process.exitCode = total.failed > 0 ? 1 : 0;

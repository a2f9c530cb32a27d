// npm run bench: gander and transformers.js on the CPU, a random-weight flan-t5-small each, in turn on one page of one browser, with
// one thread each or with as many as --threads says. npm run bench:webgpu: the same on WebGPU.
//
// usage: npm run bench -- [--device cpu] [--threads N] [--tokens N] [--new-tokens N] [--rounds N] [--types q8,fp32] [--models FOLDER] [--record FILE]
//
// The first run takes some minutes: it installs the peer and, unless --models has the folder that side_by_side/random_model.py
// makes, Python packages to make it. All of it is kept in the user's cache, outside the repository.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { say } from "../scripts/lib/say.mjs";
import { serve } from "../scripts/serve/server.mjs";
import { peerVersion, prepare } from "./side_by_side/prepare.mjs";
import { median, report } from "./side_by_side/report.mjs";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    threads: { type: "string", default: "1" },
    tokens: { type: "string", default: "64" },
    "new-tokens": { type: "string" },
    rounds: { type: "string" },
    types: { type: "string" },
    models: { type: "string" },
    record: { type: "string" },
  },
});
const { device } = values;
const defaults = {
  cpu: { types: "q8", newTokens: 64, rounds: 5 },
  webgpu: { types: "q4,fp32", newTokens: 8, rounds: 3 },
}[device];
if (!defaults) throw new Error(`--device ${device}; expected cpu or webgpu`);
const threads = Number(values.threads);
if (!Number.isSafeInteger(threads) || threads < 1) {
  throw new Error(`--threads ${values.threads}; expected a whole number from 1`);
}
const tokens = Number(values.tokens);
const newTokens = Number(values["new-tokens"] ?? defaults.newTokens);
const rounds = Number(values.rounds ?? defaults.rounds);
const types = (values.types ?? defaults.types).split(",");
const subjects = ["gander", ...types.map((type) => `transformers.js ${type}`)];

const folder = await prepare(values.models);
const server = await serve({ folder, port: 0 });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--enable-unsafe-webgpu"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  await page.goto(server.url);
  const measured = new Map(subjects.map((subject) => [subject, []]));
  const loaded = new Map();
  for (const subject of subjects) {
    const question = { subject, device, threads };
    loaded.set(subject, await page.evaluate((question) => globalThis.load(question), question));
    say(`${subject}: loaded in ${(loaded.get(subject) / 1000).toFixed(1)} s`);
  }
  // The first round compiles what is compiled once, and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const subject of subjects) {
      const question = { subject, tokens, newTokens };
      const times = await page.evaluate((question) => globalThis.answer(question), question);
      const answer = {
        firstMilliseconds: times[0],
        tokensPerSecond: ((times.length - 1) * 1000) / (times.at(-1) - times[0]),
      };
      say(
        `${subject}, ${round === 0 ? "warming up" : `round ${round}`}: first token ${answer.firstMilliseconds.toFixed(0)} ms, ` +
          `then ${answer.tokensPerSecond.toFixed(2)} tokens/s (${times.length} tokens)`,
      );
      if (round > 0) measured.get(subject).push(answer);
    }
  }
  const rows = subjects.map((subject) => ({
    subject,
    loadMilliseconds: loaded.get(subject),
    firstMilliseconds: median(measured.get(subject).map((answer) => answer.firstMilliseconds)),
    tokensPerSecond: median(measured.get(subject).map((answer) => answer.tokensPerSecond)),
  }));
  const text = report({
    rows,
    device,
    threads,
    types,
    tokens,
    newTokens,
    rounds,
    peerVersion,
    browser: `Chromium ${browser.version()}`,
    adapter: device === "webgpu" ? await page.evaluate(() => globalThis.adapter()) : undefined,
    machine: `${cpus()[0].model}, ${cpus().length} cores, shared with other work`,
  });
  say(`\n${text}`);
  if (values.record) writeFileSync(values.record, text);
} finally {
  await browser.close();
  await server.close();
}

// npm run bench: gander and transformers.js on the CPU, a random-weight flan-t5-small each, in turn on one page of one browser, with
// one thread each or with as many as --threads says; gander also with random experts, as many as --experts says. npm run
// bench:webgpu: the same on WebGPU.
//
// usage: npm run bench -- [--device cpu] [--threads N] [--tokens 16,64] [--new-tokens N] [--experts 8,64] [--rounds N]
//                         [--types q8,fp32] [--models FOLDER] [--record FILE]
//
// The first run takes some minutes: it installs the peer and, unless --models has the folder that side_by_side/random_model.py
// makes, Python packages to make it. All of it is kept in the user's cache, outside the repository.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { say } from "../scripts/lib/say.mjs";
import { serve } from "../scripts/serve/server.mjs";
import { mostPageMemory } from "./side_by_side/memory.mjs";
import { peerVersion, prepare } from "./side_by_side/prepare.mjs";
import { rankOf } from "./side_by_side/random_experts.mjs";
import { median, report } from "./side_by_side/report.mjs";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    threads: { type: "string", default: "1" },
    tokens: { type: "string", default: "64" },
    "new-tokens": { type: "string" },
    experts: { type: "string", default: "" },
    rounds: { type: "string" },
    types: { type: "string" },
    models: { type: "string" },
    record: { type: "string" },
  },
});
const { device } = values;
const defaults = {
  cpu: { types: "q8", newTokens: "64", rounds: "5" },
  webgpu: { types: "q4,fp32", newTokens: "8", rounds: "3" },
}[device];
if (!defaults) throw new Error(`--device ${device}; expected cpu or webgpu`);
const threads = wholeNumber("threads", values.threads);
const lengths = values.tokens.split(",").map((text) => wholeNumber("tokens", text));
const newTokens = wholeNumber("new-tokens", values["new-tokens"] ?? defaults.newTokens);
const rounds = wholeNumber("rounds", values.rounds ?? defaults.rounds);
const experts =
  values.experts === "" ? [] : values.experts.split(",").map((text) => wholeNumber("experts", text));
const types = (values.types ?? defaults.types).split(",");

const own = { name: "gander", engine: "gander" };
const withExperts = experts.map((count) => ({
  name: `gander, ${count} experts`,
  engine: "gander",
  catalog: `experts-${count}/catalog.json`,
  experts: count,
  rank: rankOf(count),
}));
const peers = types.map((type) => ({ name: `transformers.js ${type}`, engine: "transformers.js", type }));
const subjects = [own, ...withExperts, ...peers];

const folder = await prepare(values.models, experts);
const server = await serve({ folder, port: 0 });
try {
  const loads = new Map();
  for (const subject of subjects) loads.set(subject.name, await loadAlone(subject));
  const { answers, ...where } = await answerInTurn();
  const text = report({
    own,
    withExperts,
    peers,
    loads,
    answers,
    device,
    threads,
    lengths,
    newTokens,
    rounds,
    peerVersion,
    ...where,
    machine: `${cpus()[0].model}, ${cpus().length} cores`,
  });
  say(`\n${text}`);
  if (values.record) writeFileSync(values.record, text);
} finally {
  await server.close();
}

function wholeNumber(option, text) {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new Error(`--${option} ${text}; expected a whole number from 1`);
}

/** A browser with the page of `side_by_side/`. */
async function openPage() {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--enable-unsafe-webgpu"],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  await page.goto(server.url);
  return { browser, page };
}

/** In a browser of its own: how long loading took, and how much memory that and an answer took above an empty page. */
async function loadAlone(subject) {
  const { browser, page } = await openPage();
  try {
    const before = await mostPageMemory(browser);
    const milliseconds = await load(page, subject);
    await answer(page, subject, lengths[0]);
    const bytes = (await mostPageMemory(browser)) - before;
    say(
      `${subject.name}: loaded in ${(milliseconds / 1000).toFixed(2)} s, ${(bytes / 2 ** 20).toFixed(0)} MiB`,
    );
    return { milliseconds, bytes };
  } finally {
    await browser.close();
  }
}

/** All on one page, one after the other. */
async function answerInTurn() {
  const { browser, page } = await openPage();
  try {
    const answers = new Map();
    for (const subject of subjects) await load(page, subject);
    for (const tokens of lengths) {
      const measured = new Map(subjects.map(({ name }) => [name, []]));
      // The first round compiles what is compiled once and fetches experts, and does not count.
      for (let round = 0; round <= rounds; round++) {
        for (const subject of subjects) {
          // Threads of what ran before may spin for a while yet.
          await setTimeout(500);
          const times = await answer(page, subject, tokens);
          const firstMilliseconds = times[0];
          const tokensPerSecond = ((times.length - 1) * 1000) / (times.at(-1) - firstMilliseconds);
          say(
            `${subject.name}, ${tokens} tokens, ${round === 0 ? "warming up" : `round ${round}`}: ` +
              `first token ${firstMilliseconds.toFixed(0)} ms, then ${tokensPerSecond.toFixed(2)} tokens/s (${times.length} tokens)`,
          );
          if (round > 0) measured.get(subject.name).push({ firstMilliseconds, tokensPerSecond });
        }
      }
      for (const [name, list] of measured) {
        answers.set(`${name} ${tokens}`, {
          firstMilliseconds: median(list.map((answer) => answer.firstMilliseconds)),
          tokensPerSecond: median(list.map((answer) => answer.tokensPerSecond)),
        });
      }
    }
    const adapter = device === "webgpu" ? await page.evaluate(() => globalThis.adapter()) : undefined;
    return { answers, browser: `Chromium ${browser.version()}`, adapter };
  } finally {
    await browser.close();
  }
}

function load(page, subject) {
  return page.evaluate((given) => globalThis.load(...given), [subject, device, threads]);
}

function answer(page, subject, tokens) {
  return page.evaluate((given) => globalThis.answer(...given), [subject, tokens, newTokens]);
}

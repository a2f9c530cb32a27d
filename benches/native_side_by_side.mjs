// npm run bench:native: gander and CTranslate2 (int8) on the CPU without a browser, with one thread and with two, a random-weight
// flan-t5-small each, in turn.
//
// usage: npm run bench:native -- [--tokens 16,64,128,512] [--new-tokens N] [--rounds N] [--threads 1,2] [--models FOLDER] [--record FILE]
//
// The first run takes some minutes: it installs Python packages and, unless --models has the folder that
// side_by_side/random_model.py makes, makes it. All of it is kept in the user's cache, outside the repository.

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { outputOf } from "../scripts/lib/command.mjs";
import { say } from "../scripts/lib/say.mjs";
import { peerScript, prepareNative } from "./side_by_side/prepare.mjs";
import { median } from "./side_by_side/report.mjs";

const { values } = parseArgs({
  options: {
    tokens: { type: "string", default: "16,64,128,512" },
    "new-tokens": { type: "string", default: "64" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "1,2" },
    models: { type: "string" },
    record: { type: "string" },
  },
});
const numbers = (text) => text.split(",").map(Number);
const rounds = Number(values.rounds);

const { python, peer, program, base, peerVersion } = await prepareNative(values.models);
const lines = [];
for (const threads of numbers(values.threads)) {
  for (const tokens of numbers(values.tokens)) {
    const subjects = {
      gander: [program, [base]],
      ctranslate2: [python, [peerScript, "time", peer]],
    };
    const measured = { gander: [], ctranslate2: [] };
    // A process each, in turn, of which each answers once uncounted: so a machine that becomes slow is slow for both.
    for (let round = 0; round < rounds; round++) {
      for (const [name, [command, parameters]] of Object.entries(subjects)) {
        const question = [tokens, values["new-tokens"], threads, 3].map(String);
        const output = outputOf(command, [...parameters, ...question]);
        if (output === undefined) throw new Error(`${name} failed`);
        const { first_ms, token_ms } = JSON.parse(output);
        measured[name].push({ first: median(first_ms), token: median(token_ms) });
      }
    }
    const of = (name, what) => median(measured[name].map((answer) => answer[what]));
    const row = [
      threads,
      tokens,
      of("gander", "first").toFixed(1),
      of("ctranslate2", "first").toFixed(1),
      `${(of("ctranslate2", "first") / of("gander", "first")).toFixed(2)} ×`,
      (1000 / of("gander", "token")).toFixed(0),
      (1000 / of("ctranslate2", "token")).toFixed(0),
      `${(of("ctranslate2", "token") / of("gander", "token")).toFixed(2)} ×`,
    ];
    lines.push(`| ${row.join(" | ")} |`);
    say(lines.at(-1));
  }
}
const text = `# gander beside CTranslate2 ${peerVersion}, natively

- ${cpus()[0].model}, ${cpus().length} cores
- a random-weight flan-t5-small each: gander Q8_0, the peer int8
- ${values["new-tokens"]} tokens out, greedy; ${rounds} processes of three answers each in turn, after one that does not count; medians of medians
- again: \`npm run bench:native -- --tokens ${values.tokens} --new-tokens ${values["new-tokens"]} --rounds ${rounds} --threads ${values.threads}\`

| threads | tokens in | gander first token ms | CTranslate2 | sooner | gander tokens/s | CTranslate2 | faster |
|---|---|---|---|---|---|---|---|
${lines.join("\n")}
`;
say(`\n${text}`);
if (values.record) writeFileSync(values.record, text);

// The comments of www/src's public names -> docs/api.md. `npm run docs` writes it; the tests see that it is current.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOrThrow } from "../lib/command.mjs";
import { root } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { ensureNpmDependencies } from "../setup/npm_dependencies.mjs";
import { ensurePinned } from "../setup/pinned_npm.mjs";

export const referenceFile = join(root, "docs/api.md");

const introduction = `<!-- Written by npm run docs from the comments in www/src. -->

# API

All that \`import { … } from "gander"\` gives. How to use it: [getting started](getting-started.md).
`;

/** @returns {Promise<string>} what docs/api.md should be */
export async function makeReference() {
  const tools = await ensurePinned("documentation");
  const folder = mkdtempSync(join(tmpdir(), "gander-reference-"));
  try {
    const typedoc = join(tools, "node_modules/typedoc/bin/typedoc");
    const options = ["--options", join(root, "scripts/build/typedoc.json"), "--out", folder];
    const plugin = ["--plugin", join(tools, "node_modules/typedoc-plugin-markdown/dist/index.js")];
    await runOrThrow(process.execPath, [typedoc, ...options, ...plugin], { quiet: true });
    const made = readFileSync(join(folder, "README.md"), "utf8");
    return introduction + made.slice(made.indexOf("\n## "));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  await ensureNpmDependencies();
  writeFileSync(referenceFile, await makeReference());
  say("docs/api.md is current");
}

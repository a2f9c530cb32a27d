// The packed declarations, as strict compilers of users see them: nothing is skipped, every import resolves.

import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freshFolder, run } from "./support.ts";

const compiler = join(process.cwd(), "node_modules/typescript/bin/tsc");

for (const [module, moduleResolution] of [
  ["esnext", "bundler"],
  ["node16", "node16"],
] as const) {
  test(`they compile with moduleResolution ${moduleResolution}`, async () => {
    const app = freshFolder(`types-${moduleResolution}`);
    mkdirSync(join(app, "src"));
    copyFileSync(join(process.cwd(), "tests/package/consumer.ts"), join(app, "src/consumer.ts"));
    writeFileSync(join(app, "package.json"), '{ "private": true, "type": "module" }');
    const compilerOptions = {
      ...{ module, moduleResolution, target: "es2022", lib: ["es2022", "dom", "dom.iterable"], types: [] },
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
      ...{ skipLibCheck: false, noEmit: true },
    };
    writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
    await run(app, [compiler, "-p", "."]);
  });
}

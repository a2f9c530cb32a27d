// Puts into gander/ what the extension needs of the package: node build.mjs

import { copyFileSync, mkdirSync } from "node:fs";

const files = ["index.js", "worker.js", "gander_bg.wasm"];
mkdirSync("gander", { recursive: true });
for (const file of files) copyFileSync(`node_modules/gander/www/dist/${file}`, `gander/${file}`);

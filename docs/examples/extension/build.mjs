// Puts into gander/ what the extension needs of the package: node build.mjs

import { copyFileSync, mkdirSync } from "node:fs";

// Of the WebAssembly files the one that popup.js names: it runs in every browser.
const files = ["index.js", "worker.js", "gander_bg.wasm"];
mkdirSync("gander", { recursive: true });
for (const file of files) copyFileSync(`node_modules/gander/www/dist/${file}`, `gander/${file}`);

// npm start: builds what is not built yet and serves the demo on this machine.
//
// usage: npm start [-- --port N]

import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildAll } from "./build.mjs";
import { root } from "./lib/paths.mjs";
import { say } from "./lib/say.mjs";
import { serve } from "./serve/server.mjs";

const { values } = parseArgs({ options: { port: { type: "string", default: process.env.PORT ?? "8080" } } });
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  throw new Error(`--port: "${values.port}"; expected a number from 0 to 65535`);
}

await buildAll();
const { url } = await serve({ folder: join(root, "www"), port, attempts: 20, home: "/demo/" });
say(`\nThe demo is at ${url}demo/  (Ctrl+C ends it)`);

// The demo as it was built, with the real engine and the ocean that comes with the repository, on a loopback server.

import { join } from "node:path";
import { pathToFileURL } from "node:url";

export async function serveBuiltSite(): Promise<{ url: string; close: () => Promise<void> }> {
  const { serve } = await import(pathToFileURL(join(process.cwd(), "scripts/serve/server.mjs")).href);
  return serve({ folder: "www", port: 0, home: "/demo/" });
}

// A small static file server: the right types, byte ranges, nothing outside its folder.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { parseRange } from "./range.mjs";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".ts": "text/plain; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/** A page with these may use shared memory and fine timers. */
export const isolated = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Serves `folder` on the loopback address.
 * @param {{folder: string, port: number, attempts?: number, home?: string, headers?: Record<string, string>}} options
 *   attempts: how many ports to try from `port` on; port 0 takes any free one. home: where "/" leads. headers: sent with
 *   every file
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function serve({ folder, port, attempts = 1, home, headers = isolated }) {
  const server = createServer((request, response) => {
    answer(request, response, { folder, home, headers }).catch((error) => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end(`${error.message}\n`);
    });
  });
  const bound = await listenOnFirstFree(server, port, attempts);
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${bound}/`, close };
}

async function answer(request, response, { folder, home, headers: always }) {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  const path = pathOf(request.url);
  if (path === "/" && home) {
    response.writeHead(302, { location: home }).end();
    return;
  }
  const file = path === undefined ? undefined : await findFile(folder, path);
  if (!file) {
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
    response.end(`not found: ${request.url}\n`);
    return;
  }

  const headers = {
    "content-type": types[extname(file.path)] ?? "application/octet-stream",
    "accept-ranges": "bytes",
    // A rebuilt file must be seen at the next reload.
    "cache-control": "no-cache",
    "last-modified": file.modified.toUTCString(),
    "x-content-type-options": "nosniff",
    ...always,
  };
  const range = parseRange(request.headers.range, file.bytes);
  if (range === "unsatisfiable") {
    response.writeHead(416, { ...headers, "content-range": `bytes */${file.bytes}` }).end();
    return;
  }
  const { start, end } = range ?? { start: 0, end: file.bytes - 1 };
  headers["content-length"] = end - start + 1;
  if (range) headers["content-range"] = `bytes ${start}-${end}/${file.bytes}`;
  response.writeHead(range ? 206 : 200, headers);
  if (request.method === "HEAD" || end < start) response.end();
  else
    createReadStream(file.path, { start, end })
      .on("error", () => response.destroy())
      .pipe(response);
}

/** The path of the request, decoded; undefined if it is no path. */
function pathOf(url) {
  try {
    return decodeURIComponent(new URL(url, "http://localhost").pathname);
  } catch {
    return undefined;
  }
}

async function findFile(folder, path) {
  const wanted = normalize(join(folder, path));
  if (wanted.includes("\0") || !(wanted + sep).startsWith(normalize(folder + sep))) return undefined;
  const candidate = path.endsWith("/") ? join(wanted, "index.html") : wanted;
  const found = await stat(candidate).catch(() => undefined);
  return found?.isFile() ? { path: candidate, bytes: found.size, modified: found.mtime } : undefined;
}

async function listenOnFirstFree(server, port, attempts) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await listen(server, port === 0 ? 0 : port + attempt);
    } catch (error) {
      if (error.code !== "EADDRINUSE" || attempt + 1 >= attempts) throw error;
    }
  }
}

function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve(server.address().port);
    });
  });
}

// Where a browser keeps pages best: Cache Storage, OPFS or IndexedDB. Writes and reads some hundred entries of each size
// in headless Chromium (or in Firefox, with --firefox), in a worker, and prints the medians and the 95th percentiles.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, firefox } from "../scripts/setup/browser.mjs";

const entries = 300;
const kilobytes = [1, 8, 64, 256, 512];

/** Runs in the browser: as a worker's script, so all that it needs is inside. */
async function measure(entries, kilobytes) {
  const folder = await navigator.storage.getDirectory();
  const cache = await caches.open("bench");
  const database = await new Promise((resolve, reject) => {
    const opening = indexedDB.open("bench", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("pages");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const requested = (mode, ask) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction("pages", mode);
      const request = ask(transaction.objectStore("pages"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  const url = (name) => `https://cache.invalid/${name}`;
  const stores = {
    "Cache Storage": {
      write: (name, bytes) => cache.put(url(name), new Response(bytes)),
      read: async (name) => (await (await cache.match(url(name))).arrayBuffer()).byteLength,
      list: async () => (await cache.keys()).length,
    },
    "OPFS, sync handle": {
      async write(name, bytes) {
        const handle = await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
        handle.write(bytes, { at: 0 });
        handle.flush();
        handle.close();
      },
      async read(name) {
        const handle = await (await folder.getFileHandle(name)).createSyncAccessHandle();
        const bytes = new Uint8Array(handle.getSize());
        handle.read(bytes, { at: 0 });
        handle.close();
        return bytes.length;
      },
      async list() {
        let count = 0;
        for await (const _ of folder.keys()) count++;
        return count;
      },
    },
    "OPFS, stream": {
      async write(name, bytes) {
        const stream = await (await folder.getFileHandle(`s${name}`, { create: true })).createWritable();
        await stream.write(bytes);
        await stream.close();
      },
      read: async (name) =>
        (await (await (await folder.getFileHandle(`s${name}`)).getFile()).arrayBuffer()).byteLength,
      list: async () => 0,
    },
    IndexedDB: {
      write: (name, bytes) => requested("readwrite", (pages) => pages.put(bytes, name)),
      read: async (name) => (await requested("readonly", (pages) => pages.get(name))).length,
      list: async () => await requested("readonly", (pages) => pages.count()),
    },
  };
  const rows = [];
  for (const size of kilobytes) {
    const bytes = new Uint8Array(size * 1024);
    for (let start = 0; start < bytes.length; start += 65536)
      crypto.getRandomValues(bytes.subarray(start, start + 65536));
    for (const [store, { write, read, list }] of Object.entries(stores)) {
      const time = async (run) => {
        const times = [];
        for (let index = 0; index < entries; index++) {
          const start = performance.now();
          await run(`${size}-${index}`);
          times.push(performance.now() - start);
        }
        times.sort((one, other) => one - other);
        return [times[Math.floor(entries / 2)], times[Math.floor(entries * 0.95)]];
      };
      const together = async (run) => {
        const start = performance.now();
        for (let first = 0; first < entries; first += 6)
          await Promise.all(
            [0, 1, 2, 3, 4, 5].map((next) => run(`${size}-${Math.min(first + next, entries - 1)}`)),
          );
        return (performance.now() - start) / entries;
      };
      const written = await time((name) => write(name, bytes));
      const was = await time(read);
      const sixReads = await together(read);
      const start = performance.now();
      const count = await list();
      rows.push({ store, size, written, read: was, sixReads, list: performance.now() - start, count });
    }
  }
  return rows;
}

const useFirefox = process.argv.includes("--firefox");
const profile = mkdtempSync(join(tmpdir(), "gander-storage-"));
const page = `<!doctype html><script>
const code = ${JSON.stringify(`onmessage = async () => postMessage(await (${measure})(${entries}, ${JSON.stringify(kilobytes)}).catch((error) => String(error)))`)};
const worker = new Worker(URL.createObjectURL(new Blob([code])));
worker.onmessage = ({ data }) => fetch("/result", { method: "POST", body: JSON.stringify(data) });
worker.onerror = (event) => fetch("/result", { method: "POST", body: JSON.stringify(event.message) });
worker.postMessage(0);
</script>`;
const result = await new Promise((resolve) => {
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return response.setHeader("content-type", "text/html").end(page);
    let text = "";
    for await (const chunk of request) text += chunk;
    response.end();
    resolve(JSON.parse(text));
    browser.kill();
    server.close();
    server.closeAllConnections();
  });
  let browser;
  server.listen(0, "127.0.0.1", () => {
    const url = `http://127.0.0.1:${server.address().port}/`;
    const flags = useFirefox
      ? ["--headless", "--profile", profile, "--no-remote", url]
      : ["--headless", "--no-sandbox", "--disable-quic", `--user-data-dir=${profile}`, url];
    browser = execFile(useFirefox ? firefox : chromium, flags);
  });
});
rmSync(profile, { recursive: true, force: true, maxRetries: 5 });

if (typeof result === "string") throw new Error(result);
const milliseconds = (number) => number.toFixed(2);
console.log(
  "| KiB | store | write ms, median / 95 % | read ms, median / 95 % | read, six at once, ms each | list ms |",
);
console.log("|---|---|---|---|---|---|");
for (const { store, size, written, read, sixReads, list } of result) {
  const [one, other] = [written, read].map((pair) => pair.map(milliseconds).join(" / "));
  console.log(
    `| ${size} | ${store} | ${one} | ${other} | ${milliseconds(sixReads)} | ${milliseconds(list)} |`,
  );
}

// Keeps the page and the package. Raise the version with every release of either.
const CACHE = "gander-example-1";

// Of the two WebAssembly files without threads the package loads the one that fits the browser. On a page that is cross-origin
// isolated it would be worker_threads.js and gander_threads_bg.wasm.
const FILES = [
  "./",
  "./main.js",
  ...["index.js", "worker.js", "gander_bg.wasm", "gander_relaxed_bg.wasm"].map((name) => `./gander/${name}`),
];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith("gander-example-") && name !== CACHE;
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name)))),
  );
});

// What is kept is answered from the cache; all else, the model's files among it, goes its way.
self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(event.request))
      .then((kept) => kept ?? fetch(event.request)),
  );
});

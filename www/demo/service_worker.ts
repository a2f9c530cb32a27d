// The page without a network. What belongs to the site is taken from the network as long as there is one, so a new release
// is never hidden by an old copy; without one, what was kept has to do.
//
// The model's files are the package's to keep. For a package that keeps none, those of the demo's own ocean are kept here.

import { keepable, rangeKey, restored } from "./kept_ranges.ts";

/** What is used of the worker's global scope; TypeScript's libraries for pages and for workers exclude each other. */
interface Scope {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  addEventListener(type: "message", listener: (event: PageMessage) => void): void;
}
interface ExtendableEvent {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  request: Request;
  respondWith(response: Promise<Response>): void;
}
interface PageMessage extends ExtendableEvent {
  data: { keep: string[]; packageKeepsModel: boolean };
  source: { postMessage(message: string): void } | null;
}

const scope = globalThis as unknown as Scope;
const PAGE_CACHE = "gander-demo-page";
const MODEL_CACHE = "gander-demo-model";
/** Its presence says that the package keeps the model. */
const PACKAGE_KEEPS = "package-keeps-model";

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOfTheSite = request.method === "GET" && url.href.startsWith(scope.registration.scope);
  if (!isOfTheSite) return;
  const isModel = /\.(gguf|safetensors)$|\/catalog\.json$/.test(url.pathname);
  event.respondWith(isModel ? modelFile(request, event) : networkFirst(request, event));
});

scope.addEventListener("message", (event) => {
  const { keep, packageKeepsModel } = event.data;
  event.waitUntil(
    keepAll(keep, packageKeepsModel).then(
      () => event.source?.postMessage("kept"),
      // Storage is full or forbidden: the page works, it only needs its network again.
      () => {},
    ),
  );
});

async function keepAll(urls: string[], packageKeepsModel: boolean): Promise<void> {
  const cache = await caches.open(PAGE_CACHE);
  const isKept = async (url: string) => (await cache.match(url, { ignoreSearch: true })) !== undefined;
  for (const url of urls) {
    const isModel = /\.(gguf|safetensors)$|\/catalog\.json$/.test(new URL(url).pathname);
    if (!isModel && !(await isKept(url))) await cache.add(url);
  }
  if (!packageKeepsModel) return;
  await caches.delete(MODEL_CACHE);
  await cache.put(PACKAGE_KEEPS, new Response());
}

async function networkFirst(request: Request, event: FetchEvent): Promise<Response> {
  const cache = await caches.open(PAGE_CACHE);
  try {
    const response = await fetch(request);
    if (response.status === 200)
      event.waitUntil(cache.put(pageKey(request), response.clone()).catch(() => {}));
    return response;
  } catch (error) {
    const kept = await cache.match(pageKey(request));
    if (kept) return kept;
    throw error;
  }
}

/** `demo/?device=cpu` is the same page as `demo/`. */
function pageKey({ url }: Request): string {
  return url.replace(/[?#].*$/, "");
}

async function modelFile(request: Request, event: FetchEvent): Promise<Response> {
  const page = await caches.open(PAGE_CACHE);
  if (await page.match(PACKAGE_KEEPS)) return fetch(request);
  const cache = await caches.open(MODEL_CACHE);
  const key = rangeKey(request);
  try {
    const response = await fetch(request);
    if (response.ok) event.waitUntil(cache.put(key, keepable(response.clone())).catch(() => {}));
    return response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return restored(kept);
    throw error;
  }
}

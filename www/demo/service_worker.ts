// The page without a network. What belongs to the site is taken from the network as long as there is one, so a new release
// is never hidden by an old copy; without one, what was kept has to do.
//
// The model's files, whatever they are called, are the package's to keep.

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
  data: { keep: string[] };
  source: { postMessage(message: string): void } | null;
}

const scope = globalThis as unknown as Scope;
const PAGE_CACHE = "gander-demo-page";

/** What the page and the package are made of. */
const isOfThePage = (path: string) => /\/$|\.(html|css|js|wasm|svg)$|\/examples\.json$/.test(path);

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOfTheSite = request.method === "GET" && url.href.startsWith(scope.registration.scope);
  if (isOfTheSite && isOfThePage(url.pathname)) event.respondWith(networkFirst(request, event));
});

scope.addEventListener("message", (event) => {
  event.waitUntil(
    keepAll(event.data.keep).then(
      () => event.source?.postMessage("kept"),
      // Storage is full or forbidden: the page works, it only needs its network again.
      () => {},
    ),
  );
});

async function keepAll(urls: string[]): Promise<void> {
  const cache = await caches.open(PAGE_CACHE);
  const own = urls.filter((url) => isOfThePage(new URL(url).pathname));
  for (const url of own) if (!(await cache.match(url))) await cache.add(url);
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

// Has a service worker keep the page, so that it opens without a network after the first visit.

import { byId } from "./elements.ts";

/** A slow service worker must not keep the model waiting: then the page works, and is kept at the next visit. */
const PATIENCE_MILLISECONDS = 3000;

/** Ends once what is loaded from now on goes through the service worker; or without one, where there can be none. */
export async function startOffline(): Promise<void> {
  const workers = navigator.serviceWorker;
  // Forbidden in some private windows, and on pages that came over an insecure connection.
  const registration = await workers?.register("../service_worker.js").catch(() => undefined);
  if (!registration) return;
  if (!workers.controller) {
    await new Promise<void>((resolve) => {
      workers.addEventListener("controllerchange", () => resolve(), { once: true });
      setTimeout(resolve, PATIENCE_MILLISECONDS);
    });
  }
}

/** Has the service worker keep what the page was made of before the worker was there. */
export function keepPage(): void {
  const worker = navigator.serviceWorker?.controller;
  if (!worker) return;
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const own = [location.href.replace(/[?#].*$/, ""), ...loaded].filter(
    (url) => new URL(url).origin === location.origin,
  );
  navigator.serviceWorker.onmessage = ({ data }) => {
    if (data === "kept") byId("offline").textContent = "It also opens without a network.";
  };
  worker.postMessage({ keep: own });
}

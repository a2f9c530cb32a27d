// The one place where the page says what went wrong, and how to go on.

import { byId } from "./elements.ts";
import { explain } from "./failures.ts";

export function showFailure(error: unknown, retry: () => void): void {
  const { title, advice, details } = explain(error);
  byId("failure-title").textContent = title;
  byId("failure-advice").textContent = advice;
  byId("failure-details").textContent = details;
  byId("retry").onclick = () => {
    hideFailure();
    retry();
  };
  byId("failure-close").onclick = hideFailure;
  byId("failure").hidden = false;
  byId("failure").scrollIntoView({ block: "nearest" });
}

export function hideFailure(): void {
  byId("failure").hidden = true;
}

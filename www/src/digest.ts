// SHA-256, as catalogues write it: lower-case hexadecimal.

import { GanderError } from "./errors.ts";

/** @throws GanderError `page-mismatch` if the bytes are not those that the catalogue describes. */
export async function verifySha256(
  bytes: Uint8Array<ArrayBuffer>,
  sha256: string,
  place: string,
): Promise<void> {
  // Browsers have crypto.subtle only on https pages and on localhost.
  if (globalThis.crypto?.subtle === undefined) {
    throw new GanderError("unsupported", place, "this page cannot compute SHA-256", "https, or localhost");
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256.toLowerCase()) {
    throw new GanderError("page-mismatch", place, `SHA-256 is ${found}`, `${sha256}, as the catalogue says`);
  }
}

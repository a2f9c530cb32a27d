// SHA-256, as catalogues write it: lower-case hexadecimal. Wrong bytes are found before anybody else gets them.

import { GanderError } from "./errors.ts";

/** @throws GanderError `page-mismatch` if the bytes are not those that the catalogue describes. */
export async function verifySha256(
  bytes: Uint8Array<ArrayBuffer>,
  sha256: string,
  place: string,
): Promise<void> {
  // Browsers have crypto.subtle only on https pages and on localhost. Elsewhere the engine's check, which comes again when
  // it is given a page, is the only one.
  if (globalThis.crypto?.subtle === undefined) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256.toLowerCase()) {
    throw new GanderError("page-mismatch", place, `SHA-256 is ${found}`, `${sha256}, as the catalogue says`);
  }
}

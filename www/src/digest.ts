// SHA-256, as catalogues write it: lower-case hexadecimal.

/**
 * Undefined where it cannot be computed: browsers have crypto.subtle only on https pages and on localhost. Elsewhere the
 * engine's check, which comes again when it is given a page, is the only one.
 */
export async function hexSha256(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

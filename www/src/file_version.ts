// Which version of a file a response belongs to, so that two halves of two files are never put together.

/** An ETag, else a modification date; null where the server shows neither. */
export type FileVersion = string | null;

/** Other origins show ETag only if they allow it, and Last-Modified always. */
export function versionOf(response: Response): FileVersion {
  return response.headers.get("etag") ?? response.headers.get("last-modified");
}

/** The header that asks for `start` to `end` (inclusive; all the rest without it), if the file still is that version. */
export function rangeHeaders(
  url: string,
  start: number,
  end: number | undefined,
  version: FileVersion,
): Record<string, string> {
  const headers: Record<string, string> = { Range: `bytes=${start}-${end ?? ""}` };
  // Across origins a browser would first have to ask whether the header is allowed, which plain hosts refuse. There the
  // version of the answer is compared, here and there. A weak ETag is not for ranges (RFC 9110, 13.1.5).
  if (version !== null && !version.startsWith("W/") && isOwnOrigin(url)) headers["If-Range"] = version;
  return headers;
}

function isOwnOrigin(url: string): boolean {
  const page = globalThis.location?.origin;
  return page === undefined || new URL(url).origin === page;
}

/** What a 206 says that it holds: first byte, last byte, and the file's size where the server knows it. */
export interface ContentRange {
  start: number;
  end: number;
  total: number | null;
}

/** Undefined where there is no such header (other origins show it only if they allow it); null if it is nonsense. */
export function contentRangeOf(response: Response): ContentRange | null | undefined {
  const header = response.headers.get("content-range");
  if (header === null) return undefined;
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header.trim());
  if (!match) return null;
  const total = match[3] === "*" ? null : Number(match[3]);
  return { start: Number(match[1]), end: Number(match[2]), total };
}

/** Content-Length counts what travels; it is the body's size only where nothing was compressed on the way. */
export function announcedBytes(response: Response): number | null {
  const header = response.headers.get("content-length");
  if (header === null || response.headers.has("content-encoding")) return null;
  const bytes = Number(header);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : null;
}

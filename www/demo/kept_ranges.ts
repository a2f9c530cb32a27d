// Parts of files in Cache Storage, which refuses the status 206: kept as whole responses, and given back as what they were.

const STATUS = "x-kept-status";

/** An address of its own for each part of a file. */
export function rangeKey({ url, headers }: Request): string {
  const key = new URL(url);
  const range = headers.get("range");
  if (range !== null) key.searchParams.set("range", range);
  return key.href;
}

export function keepable(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set(STATUS, String(response.status));
  return new Response(response.body, { status: 200, headers });
}

export function restored(kept: Response): Response {
  const headers = new Headers(kept.headers);
  const status = Number(headers.get(STATUS));
  headers.delete(STATUS);
  return new Response(kept.body, { status, headers });
}

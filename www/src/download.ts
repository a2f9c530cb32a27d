// Whole files and byte ranges of files, with exactly the bytes that were asked for.

import { GanderError } from "./errors.ts";
import { type Network, transfer } from "./transfer.ts";

export interface DownloadOptions {
  signal?: AbortSignal | undefined;
  /** More than this is refused: a server must not be able to fill the memory. */
  limitBytes: number;
  onBytes?: (loaded: number, total: number | null) => void;
}

/** One whole file. */
export function downloadFile(network: Network, url: string, options: DownloadOptions): Promise<Uint8Array> {
  return transfer(network, url, {}, options.signal, async (response, chunks) => {
    const total = announcedBytes(response);
    const expected = `at most ${options.limitBytes} bytes`;
    if (total !== null && total > options.limitBytes) {
      throw new GanderError("invalid-file", url, `the server announces ${total} bytes`, expected);
    }
    const sink = new ByteSink(total ?? 0);
    options.onBytes?.(0, total);
    for await (const chunk of chunks) {
      sink.append(chunk);
      if (sink.length > options.limitBytes) {
        throw new GanderError("invalid-file", url, "the answer does not end", expected);
      }
      options.onBytes?.(sink.length, total);
    }
    if (total === null) options.onBytes?.(sink.length, sink.length);
    return sink.bytes();
  });
}

/**
 * `bytes` bytes of a file from `offset`. A server that ignores Range and sends the file from its start is served
 * too: what comes before is dropped, what comes after is not read.
 * @throws GanderError `page-mismatch` for another range, or fewer or more bytes than asked for.
 */
export function downloadRange(
  network: Network,
  url: string,
  offset: number,
  bytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const range = `bytes=${offset}-${offset + bytes - 1}`;
  const mismatch = (problem: string) =>
    new GanderError("page-mismatch", `${url} (${range})`, problem, `${bytes} bytes from ${offset}`);
  return transfer(network, url, { Range: range }, signal, async (response, chunks) => {
    const isPartial = response.status === 206;
    if (isPartial) checkContentRange(response, offset, bytes, mismatch);
    let toSkip = isPartial ? 0 : offset;
    const page = new Uint8Array(bytes);
    let filled = 0;
    for await (const chunk of chunks) {
      const wanted = chunk.subarray(Math.min(toSkip, chunk.length));
      toSkip -= chunk.length - wanted.length;
      const room = bytes - filled;
      if (isPartial && wanted.length > room) throw mismatch("more bytes came than were asked for");
      page.set(wanted.subarray(0, room), filled);
      filled += Math.min(wanted.length, room);
      if (!isPartial && filled === bytes) break;
    }
    if (filled < bytes) throw mismatch(`the answer ended after ${filled} of them`);
    return page;
  });
}

/** Other origins show Content-Range only if they allow it; the bytes are counted and hashed in any case. */
function checkContentRange(
  response: Response,
  offset: number,
  bytes: number,
  mismatch: (problem: string) => GanderError,
): void {
  const header = response.headers.get("content-range");
  if (header === null) return;
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header.trim());
  if (!match || Number(match[1]) !== offset || Number(match[2]) !== offset + bytes - 1) {
    throw mismatch(`the server answered the range "${header}"`);
  }
}

/** Content-Length counts what travels; it is the file's size only where nothing was compressed on the way. */
function announcedBytes(response: Response): number | null {
  const header = response.headers.get("content-length");
  if (header === null || response.headers.has("content-encoding")) return null;
  const bytes = Number(header);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : null;
}

/** Bytes in one piece, in memory that is allocated once where the size is known beforehand. */
class ByteSink {
  length = 0;
  #buffer: Uint8Array;

  constructor(capacity: number) {
    this.#buffer = new Uint8Array(capacity);
  }

  append(chunk: Uint8Array): void {
    const needed = this.length + chunk.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, this.length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.length);
    this.length = needed;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.length);
  }
}

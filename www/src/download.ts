// Whole files and byte ranges of files, with exactly the bytes that were asked for, put together of as many answers as it
// takes: an attempt that broke off is gone on with where it ended.

import { ByteSink } from "./byte_sink.ts";
import { hexSha256 } from "./digest.ts";
import { GanderError } from "./errors.ts";
import { announcedBytes, contentRangeOf, type FileVersion, rangeHeaders, versionOf } from "./file_version.ts";
import {
  type Exchange,
  type Network,
  outage,
  type TransferOptions,
  TransientFailure,
  transfer,
} from "./transfer.ts";

/** Up to here a page may lie in a file whose server ignores Range: so much is read through to reach its end. */
export const WHOLE_FILE_LIMIT_BYTES = 32 * 2 ** 20;

/** Wrong bytes are asked for once more, past all caches; a server that insists is believed to be wrong. */
const MOST_WRONG_ANSWERS = 2;

export interface RangeSource {
  url: string;
  offset: number;
  bytes: number;
  sha256: string;
}

/**
 * A byte range of a file, whose hash is known. A server that ignores Range and sends the file from its start is served
 * too, up to {@link WHOLE_FILE_LIMIT_BYTES}.
 * @throws GanderError `page-mismatch` for another range, fewer or more bytes than asked for, or another hash;
 *   `range-ignored`; and what {@link transfer} throws.
 */
export function downloadRange(
  network: Network,
  source: RangeSource,
  options: TransferOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return transfer(network, source.url, new RangeExchange(source), options);
}

class RangeExchange implements Exchange<Uint8Array<ArrayBuffer>> {
  readonly #source: RangeSource;
  readonly #place: string;
  readonly #sink = new ByteSink();
  #version: FileVersion = null;
  #wrongAnswers = 0;

  constructor(source: RangeSource) {
    this.#source = source;
    this.#place = `${source.url} (${source.bytes} bytes from ${source.offset})`;
  }

  headers(): Record<string, string> {
    const { url, offset, bytes } = this.#source;
    return rangeHeaders(url, offset + this.#sink.length, offset + bytes - 1, this.#held());
  }

  held(): number {
    return this.#sink.length;
  }

  restart(): void {
    this.#sink.clear();
  }

  async receive(response: Response, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, bytes, sha256 } = this.#source;
    const isPartial = response.status === 206;
    if (isPartial) this.#checkPart(response);
    else this.#startOver();
    this.#version = versionOf(response);
    this.#sink.reserve(bytes, this.#place);
    let toSkip = isPartial ? 0 : offset;
    for await (const chunk of chunks) {
      const wanted = chunk.subarray(Math.min(toSkip, chunk.length));
      toSkip -= chunk.length - wanted.length;
      const room = bytes - this.#sink.length;
      if (isPartial && wanted.length > room) throw this.#wrong("more bytes came than were asked for");
      this.#sink.append(wanted.subarray(0, room), this.#place);
      if (!isPartial && this.#sink.length === bytes) break;
    }
    if (this.#sink.length < bytes) {
      throw outage(this.#mismatch(`the answer ended after ${this.#sink.length} of them`));
    }
    const page = this.#sink.bytes();
    const found = await hexSha256(page);
    if (found !== undefined && found !== sha256.toLowerCase()) throw this.#wrong(`SHA-256 is ${found}`);
    return page;
  }

  #held(): FileVersion {
    return this.#sink.length > 0 ? this.#version : null;
  }

  #checkPart(response: Response): void {
    const { offset, bytes } = this.#source;
    const range = contentRangeOf(response);
    const start = offset + this.#sink.length;
    if (range === null || (range && (range.start !== start || range.end !== offset + bytes - 1))) {
      throw this.#wrong(`the server answered the range "${response.headers.get("content-range")}"`);
    }
    if (this.#sink.length > 0 && versionOf(response) !== this.#version) {
      this.restart();
      throw new TransientFailure(this.#mismatch("the file changed between two requests"));
    }
  }

  #startOver(): void {
    const { url, offset, bytes } = this.#source;
    this.#sink.clear();
    if (offset + bytes <= WHOLE_FILE_LIMIT_BYTES) return;
    const problem = "the server ignores Range and sends the whole file";
    const most = `${WHOLE_FILE_LIMIT_BYTES / 2 ** 20} MiB`;
    throw new GanderError("range-ignored", url, problem, `206, or a page within its first ${most}`);
  }

  /** The bytes so far are of no use. */
  #wrong(problem: string): GanderError | TransientFailure {
    this.restart();
    this.#wrongAnswers++;
    const failure = this.#mismatch(problem);
    return this.#wrongAnswers < MOST_WRONG_ANSWERS ? new TransientFailure(failure) : failure;
  }

  #mismatch(problem: string): GanderError {
    const { offset, bytes, sha256 } = this.#source;
    const expected = `${bytes} bytes from ${offset} with the SHA-256 ${sha256}, as the catalogue says`;
    return new GanderError("page-mismatch", this.#place, problem, expected);
  }
}

/** A file, or its beginning, and which version of it. */
export interface HeldFile {
  readonly sink: ByteSink;
  version: FileVersion;
  /** Null as long as the server has not said. */
  total: number | null;
}

export interface FileOptions extends TransferOptions {
  /** More than this is refused: a server must not be able to fill the memory. */
  limitBytes: number;
  /** Of the whole file, where it is known. */
  sha256?: string | undefined;
  /** What the file begins with. Another one is not worth reading to its end. */
  magic?: string | undefined;
  onBytes?: ((loaded: number, total: number | null) => void) | undefined;
  /** Called with every chunk that came; what it does is waited for. */
  onHeld?: ((held: HeldFile) => Promise<void>) | undefined;
}

export function emptyFile(): HeldFile {
  return { sink: new ByteSink(), version: null, total: null };
}

/**
 * Whether a server's file still is of some version. Asks for one byte: a header that asks for none if nothing changed would,
 * across origins, need the server's leave.
 * @throws GanderError what {@link transfer} throws
 */
export function isStillOf(
  network: Network,
  url: string,
  version: FileVersion,
  options: TransferOptions,
): Promise<boolean> {
  const exchange: Exchange<boolean> = {
    headers: () => ({ Range: "bytes=0-0" }),
    held: () => 0,
    restart: () => {},
    receive: async (response) => version !== null && versionOf(response) === version,
  };
  return transfer(network, url, exchange, options);
}

/**
 * Completes what is held of a file.
 * @throws GanderError `invalid-file` beyond the limit; `page-mismatch` for another hash; what {@link transfer} throws.
 */
export function downloadFile(
  network: Network,
  url: string,
  held: HeldFile,
  options: FileOptions,
): Promise<void> {
  return transfer(network, url, new FileExchange(url, held, options), options);
}

class FileExchange implements Exchange<void> {
  readonly #url: string;
  readonly #file: HeldFile;
  readonly #options: FileOptions;
  #wrongAnswers = 0;

  constructor(url: string, file: HeldFile, options: FileOptions) {
    this.#url = url;
    this.#file = file;
    this.#options = options;
  }

  headers(): Record<string, string> {
    const { sink, version } = this.#file;
    if (sink.length === 0) return {};
    // Without a version or a hash nobody could tell that the rest is of the same file.
    if (version === null && this.#options.sha256 === undefined) return {};
    return rangeHeaders(this.#url, sink.length, undefined, version);
  }

  held(): number {
    return this.#file.sink.length;
  }

  restart(): void {
    const file = this.#file;
    file.sink.clear();
    file.version = file.total = null;
  }

  async receive(response: Response, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const file = this.#file;
    const version = versionOf(response);
    if (response.status === 206) this.#checkRest(response, version);
    else this.restart();

    file.version = version;
    file.total = this.#totalOf(response);
    this.#checkLimit();
    file.sink.reserve(file.total ?? 0, this.#url);
    this.#report();
    for await (const chunk of chunks) {
      file.sink.append(chunk, this.#url);
      this.#checkLimit();
      this.#checkMagic();
      this.#report();
      await this.#options.onHeld?.(file);
    }
    await this.#finish();
  }

  #checkRest(response: Response, version: FileVersion): void {
    const range = contentRangeOf(response);
    const { sink } = this.#file;
    // Who sends a part unasked is past helping; of what was asked for, it must be the rest.
    const isRest = range === undefined ? sink.length > 0 : range?.start === sink.length;
    if (!isRest) throw this.#wrong("the server answered another range");
    if (version === this.#file.version) return;
    this.restart();
    throw new TransientFailure(this.#mismatch("the file changed between two requests"));
  }

  /** The size that a 206 or a 200 promises for the whole. */
  #totalOf(response: Response): number | null {
    const range = contentRangeOf(response);
    if (range) return range.total ?? range.end + 1;
    const announced = announcedBytes(response);
    return announced === null ? null : this.#file.sink.length + announced;
  }

  #checkLimit(): void {
    const { sink, total } = this.#file;
    const { limitBytes } = this.#options;
    const expected = `at most ${limitBytes} bytes`;
    const invalid = (problem: string) => new GanderError("invalid-file", this.#url, problem, expected);
    if (total !== null && total > limitBytes) throw invalid(`the server announces ${total} bytes`);
    if (sink.length > limitBytes) throw invalid("the answer does not end");
  }

  #checkMagic(): void {
    const { magic } = this.#options;
    const { sink } = this.#file;
    if (magic === undefined || sink.length < magic.length) return;
    const found = String.fromCharCode(...sink.bytes(0, magic.length));
    if (found === magic) return;
    this.restart();
    throw new GanderError("invalid-file", this.#url, `it begins with ${JSON.stringify(found)}`, `"${magic}"`);
  }

  async #finish(): Promise<void> {
    const { sink, total } = this.#file;
    if (total !== null && sink.length < total) {
      const problem = `the answer ended after ${sink.length} of ${total} bytes`;
      throw outage(new GanderError("network", this.#url, problem, "all of them"));
    }
    if (total !== null && sink.length > total) throw this.#wrong("more bytes came than were announced");
    const { sha256 } = this.#options;
    const found = sha256 === undefined ? undefined : await hexSha256(sink.bytes());
    if (found !== undefined && found !== sha256?.toLowerCase()) throw this.#wrong(`SHA-256 is ${found}`);
    this.#file.total = sink.length;
    this.#report();
  }

  #wrong(problem: string): GanderError | TransientFailure {
    this.restart();
    this.#wrongAnswers++;
    const failure = this.#mismatch(problem);
    return this.#wrongAnswers < MOST_WRONG_ANSWERS ? new TransientFailure(failure) : failure;
  }

  #mismatch(problem: string): GanderError {
    const { sha256 } = this.#options;
    const expected = sha256 === undefined ? "one whole file" : `the file with the SHA-256 ${sha256}`;
    return new GanderError("page-mismatch", this.#url, problem, expected);
  }

  #report(): void {
    this.#options.onBytes?.(this.#file.sink.length, this.#file.total);
  }
}

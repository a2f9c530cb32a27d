// Whole files, put together of as many answers as it takes: an attempt that broke off is gone on with where it ended.

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
import { WrongAnswers } from "./wrong_answers.ts";

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
  readonly #wrongAnswers = new WrongAnswers();

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
    return this.#wrongAnswers.with(this.#mismatch(problem));
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

// Whole files, put together of as many answers as it takes: an attempt that broke off is gone on with where it ended.

import { GanderError, isOfFile, toGanderError } from "./errors.ts";
import type { FileReceiver } from "./file_receiver.ts";
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

/** How much of a file, and of which version, went to whoever receives it. */
export interface FileProgress {
  receiver: FileReceiver;
  length: number;
  version: FileVersion;
  /** Null as long as the server has not said. */
  total: number | null;
}

export interface FileOptions extends TransferOptions {
  /** More than this is refused: a server must not be able to fill the memory. */
  limitBytes: number;
  /** Of the whole file, where it is known. */
  sha256?: string | undefined;
  onBytes?: ((loaded: number, total: number | null) => void) | undefined;
}

export function noneOfFile(receiver: FileReceiver): FileProgress {
  return { receiver, length: 0, version: null, total: null };
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
 * Gives the receiver what it lacks of a file.
 * @throws GanderError `invalid-file` beyond the limit; `page-mismatch` for another hash; what {@link transfer} and the
 *   receiver throw.
 */
export function downloadFile(
  network: Network,
  url: string,
  file: FileProgress,
  options: FileOptions,
): Promise<void> {
  return transfer(network, url, new FileExchange(url, file, options), options);
}

class FileExchange implements Exchange<void> {
  readonly #url: string;
  readonly #file: FileProgress;
  readonly #options: FileOptions;
  readonly #wrongAnswers = new WrongAnswers();

  constructor(url: string, file: FileProgress, options: FileOptions) {
    this.#url = url;
    this.#file = file;
    this.#options = options;
  }

  headers(): Record<string, string> {
    const { length, version } = this.#file;
    if (length === 0) return {};
    // Without a version or a hash nobody could tell that the rest is of the same file.
    if (version === null && this.#options.sha256 === undefined) return {};
    return rangeHeaders(this.#url, length, undefined, version);
  }

  held(): number {
    return this.#file.length;
  }

  restart(): void {
    Object.assign(this.#file, { length: 0, version: null, total: null });
  }

  async receive(response: Response, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const file = this.#file;
    const version = versionOf(response);
    if (response.status === 206) this.#checkRest(response, version);
    else this.restart();

    file.version = version;
    file.total = this.#totalOf(response);
    this.#checkLimit();
    if (file.length === 0) {
      const isHashed = this.#options.sha256 !== undefined;
      await this.#given(() => file.receiver.begin({ total: file.total, isHashed }));
    }
    this.#report();
    for await (const chunk of chunks) {
      file.length += chunk.length;
      this.#checkLimit();
      await this.#given(() => file.receiver.add(chunk));
      this.#report();
    }
    await this.#finish();
  }

  #checkRest(response: Response, version: FileVersion): void {
    const range = contentRangeOf(response);
    const { length } = this.#file;
    // Who sends a part unasked is past helping; of what was asked for, it must be the rest.
    const isRest = range === undefined ? length > 0 : range?.start === length && length > 0;
    if (!isRest) throw this.#wrong(this.#mismatch("the server answered another range"));
    if (version === this.#file.version) return;
    this.restart();
    throw new TransientFailure(this.#mismatch("the file changed between two requests"));
  }

  /** The size that a 206 or a 200 promises for the whole. */
  #totalOf(response: Response): number | null {
    const range = contentRangeOf(response);
    if (range) return range.total ?? range.end + 1;
    const announced = announcedBytes(response);
    return announced === null ? null : this.#file.length + announced;
  }

  #checkLimit(): void {
    const { length, total } = this.#file;
    const { limitBytes } = this.#options;
    const expected = `at most ${limitBytes} bytes`;
    const invalid = (problem: string) => new GanderError("invalid-file", this.#url, problem, expected);
    if (total !== null && total > limitBytes) throw invalid(`the server announces ${total} bytes`);
    if (length > limitBytes) throw invalid("the answer does not end");
  }

  /** What the receiver does. Where the file's hash is known, one that it refuses is not the file. */
  async #given<T>(give: () => Promise<T> | T): Promise<T> {
    try {
      return await give();
    } catch (error) {
      if (this.#options.sha256 === undefined || !isOfFile(error)) throw error;
      throw this.#wrong(toGanderError(error));
    }
  }

  async #finish(): Promise<void> {
    const { length, total, receiver } = this.#file;
    if (total !== null && length < total) {
      const problem = `the answer ended after ${length} of ${total} bytes`;
      throw outage(new GanderError("network", this.#url, problem, "all of them"));
    }
    if (total !== null && length > total) {
      throw this.#wrong(this.#mismatch("more bytes came than were announced"));
    }
    const { sha256 } = this.#options;
    const found = await this.#given(() => receiver.end());
    if (sha256 !== undefined && found !== undefined && found !== sha256.toLowerCase()) {
      throw this.#wrong(this.#mismatch(`SHA-256 is ${found}`));
    }
    this.#file.total = length;
    this.#report();
  }

  #wrong(failure: GanderError): GanderError | TransientFailure {
    this.restart();
    return this.#wrongAnswers.with(failure);
  }

  #mismatch(problem: string): GanderError {
    const { sha256 } = this.#options;
    const expected = sha256 === undefined ? "one whole file" : `the file with the SHA-256 ${sha256}`;
    return new GanderError("page-mismatch", this.#url, problem, expected);
  }

  #report(): void {
    this.#options.onBytes?.(this.#file.length, this.#file.total);
  }
}

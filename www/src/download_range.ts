// Byte ranges of files, with exactly the bytes that were asked for, put together of as many answers as it takes: an attempt that
// broke off is gone on with where it ended.

import { ByteSink } from "./byte_sink.ts";
import { hexSha256 } from "./digest.ts";
import { GanderError } from "./errors.ts";
import { contentRangeOf, type FileVersion, rangeHeaders, versionOf } from "./file_version.ts";
import {
  type Exchange,
  type Network,
  outage,
  type TransferOptions,
  TransientFailure,
  transfer,
} from "./transfer.ts";
import { WrongAnswers } from "./wrong_answers.ts";

/** Up to here a page may lie in a file whose server ignores Range: so much is read through to reach its end. */
export const WHOLE_FILE_LIMIT_BYTES = 32 * 2 ** 20;

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
  readonly #wrongAnswers = new WrongAnswers();

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
    return this.#wrongAnswers.with(this.#mismatch(problem));
  }

  #mismatch(problem: string): GanderError {
    const { offset, bytes, sha256 } = this.#source;
    const expected = `${bytes} bytes from ${offset} with the SHA-256 ${sha256}, as the catalogue says`;
    return new GanderError("page-mismatch", this.#place, problem, expected);
  }
}

// A file on its way to its receiver, of which the cache keeps a copy: piece by piece, as it grows.

import { ByteSink } from "./byte_sink.ts";
import { hexSha256 } from "./digest.ts";
import type { FileProgress } from "./download_file.ts";
import type { FileReceiver, FileStart } from "./file_receiver.ts";
import type { FileVersion } from "./file_version.ts";
import type { PageCache } from "./page_cache.ts";

/** What is kept at once, and lost at most. */
const PIECE_BYTES = 4 * 2 ** 20;

/** A file in the cache: its pieces, in order, and the version that they are of. */
export interface FileNote {
  version: FileVersion;
  pieces: Piece[];
  /** There is more of it. */
  isPart?: boolean;
  /** The server has no such file, which is worth knowing without a network too. */
  isMissing?: boolean;
}

export interface Piece {
  sha256: string;
  bytes: number;
}

export class KeptFile implements FileReceiver {
  /** With this as the receiver. */
  readonly progress: FileProgress;
  readonly #cache: PageCache;
  readonly #key: string;
  readonly #receiver: FileReceiver;
  readonly #isHashKnown: boolean;
  readonly #piece = new ByteSink();
  #pieces: Piece[];

  /** Goes on behind a copy's pieces, which its receiver has. */
  constructor(
    cache: PageCache,
    key: string,
    copy: FileProgress,
    pieces: readonly Piece[],
    isHashKnown: boolean,
  ) {
    this.progress = { ...copy, receiver: this };
    this.#cache = cache;
    this.#key = key;
    this.#receiver = copy.receiver;
    this.#pieces = [...pieces];
    this.#isHashKnown = isHashKnown;
  }

  async begin(start: FileStart): Promise<void> {
    this.#piece.clear();
    this.#pieces = [];
    await this.#receiver.begin(start);
  }

  async add(chunk: Uint8Array): Promise<void> {
    await this.#receiver.add(chunk);
    this.#piece.reserve(Math.min(this.progress.total ?? PIECE_BYTES, PIECE_BYTES), this.#key);
    for (let rest = chunk; rest.length > 0; ) {
      const room = PIECE_BYTES - this.#piece.length;
      this.#piece.append(rest.subarray(0, room), this.#key);
      rest = rest.subarray(room);
      if (this.#piece.length === PIECE_BYTES) await this.#keepPiece();
    }
  }

  end(): Promise<string | undefined> {
    return this.#receiver.end();
  }

  /** What is left is a piece too, and the file is whole. */
  async finish(): Promise<void> {
    if (this.#piece.length > 0) await this.#keepPiece();
    const note: FileNote = { version: this.progress.version, pieces: this.#pieces };
    await this.#cache.keepNote(this.#key, "file", note);
    await this.#cache.dropNote(this.#key, "part");
  }

  async #keepPiece(): Promise<void> {
    const bytes = this.#piece.bytes();
    // Where there is no SHA-256 nothing is persistent, and nobody comes here.
    const sha256 = (await hexSha256(bytes)) ?? "";
    this.#cache.pin(sha256, bytes.length);
    this.#pieces.push({ sha256, bytes: bytes.length });
    await this.#cache.keepPage(sha256, bytes);
    this.#piece.clear();
    const { version } = this.progress;
    // A beginning of which neither version nor hash is known is no use: the rest could be another file's.
    if (version === null && !this.#isHashKnown) return;
    const note: FileNote = { version, pieces: this.#pieces, isPart: true };
    await this.#cache.keepNote(this.#key, "part", note);
  }
}

// Brings whole files, from the cache where they are the server's, in pieces that are kept as they come: a download that
// broke off, also with its tab, goes on where it ended, and what was loaded once loads again without a network.

import { hexSha256 } from "./digest.ts";
import { downloadFile, emptyFile, type FileOptions, type HeldFile, isStillOf } from "./download_file.ts";
import { GanderError } from "./errors.ts";
import type { FileVersion } from "./file_version.ts";
import type { PageCache } from "./page_cache.ts";
import { isOutage, type Network } from "./transfer.ts";

/** What is kept at once, and lost at most. */
const PIECE_BYTES = 4 * 2 ** 20;

/** With a copy at hand, a server is not waited for as long as without. */
const STALL_MILLISECONDS_WITH_COPY = 5000;

/** A file in the cache: its pieces, in order, and the version that they are of. */
interface FileNote {
  version: FileVersion;
  pieces: Piece[];
  /** The server has no such file, which is worth knowing without a network too. */
  isMissing?: boolean;
}

interface Piece {
  sha256: string;
  bytes: number;
}

/** What the cache has of a file, and of which pieces it was put together. */
interface Copy {
  held: HeldFile;
  pieces: Piece[];
  /** All pieces of the note are here. */
  isWhole: boolean;
}

export class FileStore {
  readonly #network: Network;
  readonly #cache: PageCache;
  /** By absolute URL, the SHA-256 of files that the user knows. */
  readonly #integrity: Record<string, string>;

  constructor(network: Network, cache: PageCache, integrity: Record<string, string> = {}) {
    this.#network = network;
    this.#cache = cache;
    this.#integrity = integrity;
  }

  /**
   * The bytes of a file. One whose hash is known is fetched once and for all. Of another the server is asked whether it is
   * still the same; if the server cannot be reached, or is unwell, the copy has to do.
   * @throws GanderError what {@link downloadFile} throws
   */
  async file(url: string, options: FileOptions): Promise<Uint8Array<ArrayBuffer>> {
    const sha256 = options.sha256 ?? this.#integrity[url];
    const checked = { ...options, sha256 };
    if (!this.#cache.isPersistent) {
      const held = emptyFile();
      await downloadFile(this.#network, url, held, checked);
      return held.sink.bytes();
    }
    const key = sha256 ?? url;
    const whole = await this.#cache.note<FileNote>(key, "file");
    const isFinal = sha256 !== undefined || globalThis.navigator?.onLine === false;
    const isCurrent = whole && !whole.isMissing && (isFinal || (await this.#isCurrent(url, whole, options)));
    const copy = isCurrent
      ? await this.#copyOf(key, whole, options)
      : await this.#copyOf(key, await this.#cache.note<FileNote>(key, "part"), options);
    if (isCurrent && copy.isWhole) return reported(copy.held, options);
    try {
      await this.#complete(url, key, copy, checked, whole?.isMissing === true);
    } catch (error) {
      const older = await this.#olderInstead(error, url, key, whole, options);
      return reported(older, options);
    }
    await this.#dropPieces(key, whole?.pieces ?? []);
    return reported(copy.held, options);
  }

  /** Whether the server has no other version, or cannot say so. */
  async #isCurrent(
    url: string,
    { version }: FileNote,
    { signal, credentials }: FileOptions,
  ): Promise<boolean> {
    if (version === null) return false;
    const stallMilliseconds = Math.min(this.#network.stallMilliseconds, STALL_MILLISECONDS_WITH_COPY);
    const hasty = { ...this.#network, attempts: 1, stallMilliseconds };
    try {
      return await isStillOf(hasty, url, version, { signal, credentials, httpCache: "no-store" });
    } catch (error) {
      if (isOutage(error)) return true;
      await this.#noteIfMissing(error, url);
      throw error;
    }
  }

  /** Fetches what is missing of a copy, and keeps it. */
  async #complete(
    url: string,
    key: string,
    copy: Copy,
    options: FileOptions,
    wasMissing: boolean,
  ): Promise<void> {
    const keeper = new PieceKeeper(this.#cache, key, copy);
    // A beginning of which neither version nor hash is known is no use: the rest could be another file's.
    const isOfUse = (held: HeldFile) => held.version !== null || options.sha256 !== undefined;
    // Nobody need be patient to hear once more that there is no such file.
    const network = wasMissing ? { ...this.#network, attempts: 1 } : this.#network;
    await downloadFile(network, url, copy.held, {
      ...options,
      // The pieces are kept here; the browser need not keep them once more.
      httpCache: "no-store",
      onHeld: async (grown) => {
        if (isOfUse(grown)) await keeper.keep(grown);
      },
    });
    await keeper.finish(copy.held);
  }

  /** What to do with a failure: throw it, or give what an earlier visit had, if the server is only unwell. */
  async #olderInstead(
    error: unknown,
    url: string,
    key: string,
    whole: FileNote | undefined,
    options: FileOptions,
  ): Promise<HeldFile> {
    if (!isOutage(error)) {
      // A part of a wrong file is of no use; that of a download that was stopped is.
      if (!options.signal?.aborted) await this.#cache.dropNote(key, "part");
      await this.#noteIfMissing(error, key);
      throw error;
    }
    if (whole?.isMissing) {
      throw new GanderError("not-found", url, "the server had no such file", "the file", { cause: error });
    }
    const older = await this.#copyOf(key, whole, options);
    if (!older.isWhole) throw error;
    return older.held;
  }

  async #noteIfMissing(error: unknown, key: string): Promise<void> {
    if (!(error instanceof GanderError) || error.code !== "not-found") return;
    await this.#cache.keepNote(key, "file", { version: null, pieces: [], isMissing: true });
  }

  /** Forgets a file that turned out to be of no use, so that it is fetched anew. */
  async drop(url: string): Promise<void> {
    const key = this.#integrity[url] ?? url;
    await this.#cache.dropNote(key, "file");
    await this.#cache.dropNote(key, "part");
  }

  /** What the cache has of the pieces of a note: all, or a beginning, or nothing. */
  async #copyOf(key: string, note: FileNote | undefined, { limitBytes }: FileOptions): Promise<Copy> {
    const held = emptyFile();
    const copy: Copy = { held, pieces: [], isWhole: false };
    const total = note?.pieces.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
    if (!note || note.isMissing || total > limitBytes) return copy;
    held.version = note.version;
    held.sink.reserve(total, key);
    for (const piece of note.pieces) {
      const bytes = await this.#cache.page(piece.sha256, piece.bytes);
      // What comes after a gap is fetched again with it.
      if (!bytes) return copy;
      this.#cache.pin(piece.sha256, piece.bytes);
      held.sink.append(bytes, key);
      copy.pieces.push(piece);
    }
    copy.isWhole = true;
    return copy;
  }

  /** Those of an earlier version, which nobody will ask for again. */
  async #dropPieces(key: string, earlier: Piece[]): Promise<void> {
    const note = await this.#cache.note<FileNote>(key, "file");
    const needed = new Set(note?.pieces.map(({ sha256 }) => sha256));
    for (const { sha256, bytes } of earlier) {
      if (!needed.has(sha256)) await this.#cache.dropPage(sha256, bytes);
    }
  }
}

function reported(held: HeldFile, { onBytes }: FileOptions): Uint8Array<ArrayBuffer> {
  onBytes?.(held.sink.length, held.sink.length);
  return held.sink.bytes();
}

/** Puts a file into the cache piece by piece while it grows. */
class PieceKeeper {
  readonly #cache: PageCache;
  readonly #key: string;
  #pieces: Piece[];
  #keptBytes: number;
  #version: FileVersion;

  /** Goes on behind a copy's pieces. */
  constructor(cache: PageCache, key: string, { held, pieces }: Copy) {
    this.#cache = cache;
    this.#key = key;
    this.#pieces = [...pieces];
    this.#keptBytes = held.sink.length;
    this.#version = held.version;
  }

  async keep(held: HeldFile): Promise<void> {
    this.#startOverIfNew(held);
    while (held.sink.length >= this.#keptBytes + PIECE_BYTES) {
      await this.#keepPiece(held);
      await this.#cache.keepNote(this.#key, "part", this.#note());
    }
  }

  /** What is left is a piece too, and the file is whole. */
  async finish(held: HeldFile): Promise<void> {
    this.#startOverIfNew(held);
    while (this.#keptBytes < held.sink.length) await this.#keepPiece(held);
    await this.#cache.keepNote(this.#key, "file", this.#note());
    await this.#cache.dropNote(this.#key, "part");
  }

  async #keepPiece(held: HeldFile): Promise<void> {
    const piece = held.sink.bytes(this.#keptBytes, this.#keptBytes + PIECE_BYTES);
    // Where there is no SHA-256 nothing is persistent, and nobody comes here.
    const sha256 = (await hexSha256(piece)) ?? "";
    this.#cache.pin(sha256, piece.length);
    this.#pieces.push({ sha256, bytes: piece.length });
    this.#keptBytes += piece.length;
    await this.#cache.keepPage(sha256, piece);
  }

  #startOverIfNew({ sink, version }: HeldFile): void {
    if (sink.length >= this.#keptBytes && version === this.#version) return;
    this.#pieces = [];
    this.#keptBytes = 0;
    this.#version = version;
  }

  #note(): FileNote {
    return { version: this.#version, pieces: this.#pieces };
  }
}

// Brings whole files, from the cache where they are the server's, in pieces that are kept as they come: a download that
// broke off, also with its tab, goes on where it ended, and what was loaded once loads again without a network.

import { downloadFile, type FileOptions, type FileProgress, isStillOf, noneOfFile } from "./download_file.ts";
import { GanderError, throwIfAborted } from "./errors.ts";
import { CollectedFile, type FileReceiver } from "./file_receiver.ts";
import { type FileNote, KeptFile, type Piece } from "./kept_file.ts";
import type { PageCache } from "./page_cache.ts";
import { isOutage, type Network } from "./transfer.ts";

/** With a copy at hand, a server is not waited for as long as without. */
const STALL_MILLISECONDS_WITH_COPY = 5000;

/** What the cache had of a file, and gave to whoever receives it. */
interface Copy {
  file: FileProgress;
  pieces: Piece[];
  /** All pieces of the note were there. */
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
   * The bytes of a file.
   * @throws GanderError what {@link FileStore.stream} throws
   */
  async file(url: string, options: FileOptions): Promise<Uint8Array<ArrayBuffer>> {
    const collected = new CollectedFile(url);
    await this.stream(url, collected, options);
    return collected.bytes();
  }

  /**
   * Gives a file to its receiver as it comes. One whose hash is known is fetched once and for all. Of another the server is
   * asked whether it is still the same; if the server cannot be reached, or is unwell, the copy has to do.
   * @throws GanderError what {@link downloadFile} throws
   */
  async stream(url: string, receiver: FileReceiver, options: FileOptions): Promise<void> {
    const sha256 = options.sha256 ?? this.#integrity[url];
    const checked = { ...options, sha256 };
    if (!this.#cache.isPersistent) return downloadFile(this.#network, url, noneOfFile(receiver), checked);
    const key = sha256 ?? url;
    const whole = await this.#cache.note<FileNote>(key, "file");
    const isFinal = sha256 !== undefined || globalThis.navigator?.onLine === false;
    const isCurrent = whole && !whole.isMissing && (isFinal || (await this.#isCurrent(url, whole, options)));
    const note = isCurrent ? whole : await this.#cache.note<FileNote>(key, "part");
    const copy = await this.#giveCopy(key, note, receiver, checked);
    if (isCurrent && copy.isWhole) {
      await receiver.end();
      return;
    }
    try {
      await this.#complete(url, key, copy, checked, whole?.isMissing === true);
    } catch (error) {
      await this.#giveOlderInstead(error, url, key, whole, receiver, checked);
      return;
    }
    await this.#dropPieces(key, whole?.pieces ?? []);
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
    { file, pieces }: Copy,
    options: FileOptions,
    wasMissing: boolean,
  ): Promise<void> {
    const kept = new KeptFile(this.#cache, key, file, pieces, options.sha256 !== undefined);
    // Nobody need be patient to hear once more that there is no such file.
    const network = wasMissing ? { ...this.#network, attempts: 1 } : this.#network;
    // The pieces are kept here; the browser need not keep them once more.
    await downloadFile(network, url, kept.progress, { ...options, httpCache: "no-store" });
    await kept.finish();
  }

  /** What to do with a failure: throw it, or give what an earlier visit had, if the server is only unwell. */
  async #giveOlderInstead(
    error: unknown,
    url: string,
    key: string,
    whole: FileNote | undefined,
    receiver: FileReceiver,
    options: FileOptions,
  ): Promise<void> {
    if (!isOutage(error)) {
      // A part of a wrong file is of no use; that of a download that was stopped is.
      if (!options.signal?.aborted) await this.#cache.dropNote(key, "part");
      await this.#noteIfMissing(error, key);
      throw error;
    }
    if (whole?.isMissing) {
      throw new GanderError("not-found", url, "the server had no such file", "the file", { cause: error });
    }
    const { isWhole } = await this.#giveCopy(key, whole, receiver, options);
    if (!isWhole) throw error;
    await receiver.end();
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

  /** Gives what the cache has of the pieces of a note: all, or a beginning, or nothing. */
  async #giveCopy(
    key: string,
    note: FileNote | undefined,
    receiver: FileReceiver,
    { limitBytes, sha256, onBytes, signal }: FileOptions,
  ): Promise<Copy> {
    const file = noneOfFile(receiver);
    const copy: Copy = { file, pieces: [], isWhole: false };
    const bytesKept = note?.pieces.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
    if (!note || note.isMissing || bytesKept > limitBytes) return copy;
    file.version = note.version;
    file.total = note.isPart ? null : bytesKept;
    for (const piece of note.pieces) {
      const bytes = await this.#cache.page(piece.sha256, piece.bytes);
      // What comes after a gap is fetched again with it.
      if (!bytes) return copy;
      this.#cache.pin(piece.sha256, piece.bytes);
      throwIfAborted(key, signal);
      if (file.length === 0) await receiver.begin({ total: file.total, isHashed: sha256 !== undefined });
      await receiver.add(bytes);
      file.length += bytes.length;
      copy.pieces.push(piece);
      onBytes?.(file.length, file.total);
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

// Where the bytes of a file go while they come.

import { ByteSink } from "./byte_sink.ts";
import { hexSha256 } from "./digest.ts";

export interface FileStart {
  /** Bytes of the whole file; null as long as nobody knows. */
  total: number | null;
  /** Its SHA-256 is wanted at the end. */
  isHashed: boolean;
}

export interface FileReceiver {
  /** The file begins; or once more, because what came before is of no use. */
  begin(start: FileStart): Promise<void> | void;
  /** The next bytes, which may be overwritten afterwards. */
  add(chunk: Uint8Array): Promise<void> | void;
  /** The file has ended. Its SHA-256, if that was wanted and can be computed. */
  end(): Promise<string | undefined>;
}

/** A file that is wanted as a whole. */
export class CollectedFile implements FileReceiver {
  readonly #sink = new ByteSink();
  readonly #place: string;
  #isHashed = false;

  /** @param place for messages */
  constructor(place: string) {
    this.#place = place;
  }

  begin({ total, isHashed }: FileStart): void {
    this.#sink.clear();
    this.#sink.reserve(total ?? 0, this.#place);
    this.#isHashed = isHashed;
  }

  add(chunk: Uint8Array): void {
    this.#sink.append(chunk, this.#place);
  }

  async end(): Promise<string | undefined> {
    return this.#isHashed ? hexSha256(this.#sink.bytes()) : undefined;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#sink.bytes();
  }
}

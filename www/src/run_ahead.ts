// How far the engine runs ahead of whoever reads its pieces. A slow reader holds it back, so that it computes nothing long
// before it is wanted, and nothing at all for a reader who will leave.

import { linked, onAbort } from "./waiting.ts";

/** Enough that a reader on another thread never waits for an engine that waits for it. */
export const RUN_AHEAD_PIECES = 32;

export class RunAhead {
  readonly #release: AbortSignal;
  #unread = 0;
  #wake: () => void = () => {};

  /** @param releases when one of them fires, nothing is held back any more */
  constructor(...releases: AbortSignal[]) {
    this.#release = linked(...releases).signal;
    onAbort(this.#release, () => this.#wake());
  }

  /** Counts a piece until `read` settles. */
  add(read: Promise<void> | void): void {
    this.#unread++;
    Promise.resolve(read).then(() => {
      this.#unread--;
      this.#wake();
    });
  }

  /** Waits until there is room for another piece. */
  async room(): Promise<void> {
    while (this.#unread >= RUN_AHEAD_PIECES && !this.#release.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

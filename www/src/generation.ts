// One running answer: a stream of pieces and a promise of the whole, in one object.

import { aborted } from "./errors.ts";
import type { Answer, Piece } from "./types.ts";
import { linked } from "./waiting.ts";

/**
 * `for await (const piece of generation)` gives the pieces as they come; `await generation` the whole answer. Both may
 * be used, in any order: every loop starts at the first piece. Leaving a loop early stops the generation.
 */
export class Generation implements AsyncIterable<Piece>, PromiseLike<Answer> {
  readonly #pieces: Piece[] = [];
  readonly #answer: Promise<Answer>;
  readonly #stop: AbortController;
  #ended = false;
  #wakeReaders: () => void = () => {};
  #news = this.#nextNews();

  constructor(
    run: (onPiece: (piece: Piece) => void, signal: AbortSignal) => Promise<Answer>,
    signal: AbortSignal | undefined,
  ) {
    this.#stop = signal ? linked(signal) : new AbortController();
    const stopped = this.#stop.signal;
    this.#answer = stopped.aborted
      ? Promise.reject(aborted("generate", stopped))
      : run((piece) => this.#add(piece), stopped);
    const end = () => {
      this.#ended = true;
      this.#announce();
      this.#stop.abort();
    };
    // A handler for both ends: whoever only loops has no use for an "unhandled rejection" beside the loop's error.
    this.#answer.then(end, end);
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is what this class is for
  then<Resolved = Answer, Rejected = never>(
    onResolved?: ((answer: Answer) => Resolved | PromiseLike<Resolved>) | null,
    onRejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Resolved | Rejected> {
    return this.#answer.then(onResolved, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void, undefined> {
    let next = 0;
    try {
      for (;;) {
        const piece = this.#pieces[next];
        if (piece) {
          next++;
          yield piece;
        } else if (this.#ended) {
          await this.#answer;
          return;
        } else {
          await this.#news;
        }
      }
    } finally {
      this.#stop.abort();
    }
  }

  #add(piece: Piece): void {
    this.#pieces.push(piece);
    this.#announce();
  }

  #announce(): void {
    const wake = this.#wakeReaders;
    this.#news = this.#nextNews();
    wake();
  }

  #nextNews(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeReaders = resolve;
    });
  }
}

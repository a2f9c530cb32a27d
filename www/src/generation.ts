// One running answer: a stream of pieces and a promise of the whole, in one object.

import { aborted } from "./errors.ts";
import type { PlainPiece } from "./host.ts";
import type { Answer, Piece } from "./types.ts";
import { linked } from "./waiting.ts";

/** @inline */
// biome-ignore lint/suspicious/noExplicitAny: as with every promise
type OnRejected<Rejected> = ((error: any) => Rejected | PromiseLike<Rejected>) | null;

/**
 * `for await (const piece of generation)` gives the pieces as they come; `await generation` the whole answer. Both may
 * be used, in any order: every loop starts at the first piece. Leaving a loop early stops the generation.
 *
 * The engine runs at most 32 pieces ahead of the loop that has read most. It runs to the end, however slow the loops, once
 * somebody awaits the whole or another call waits for its turn.
 */
export class Generation implements AsyncIterable<Piece>, Promise<Answer> {
  /** @ignore */
  readonly [Symbol.toStringTag] = "Generation";
  readonly #pieces: PlainPiece[] = [];
  readonly #name: (piece: PlainPiece) => Piece;
  /** Those that somebody read. */
  readonly #named: Piece[] = [];
  readonly #answer: Promise<Answer>;
  readonly #stop: AbortController;
  #ended = false;
  /** Somebody loops, so the engine is told what was read. */
  #isRead = false;
  /** Somebody awaits the whole, and wants it as soon as possible. */
  #isAwaited = false;
  /** What to call once a piece was read: the last pieces, in their order. */
  readonly #unread: (() => void)[] = [];
  #wakeReaders: () => void = () => {};
  #news = this.#nextNews();

  /**
   * @param name makes of a piece what a reader gets; only once somebody reads it: most want the whole alone
   * @internal
   */
  constructor(
    run: (onPiece: (piece: PlainPiece) => Promise<void> | undefined, signal: AbortSignal) => Promise<Answer>,
    name: (piece: PlainPiece) => Piece,
    signal: AbortSignal | undefined,
  ) {
    this.#name = name;
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

  /** @ignore */
  // biome-ignore lint/suspicious/noThenProperty: being awaitable is what this class is for
  then<Resolved = Answer, Rejected = never>(
    onResolved?: ((answer: Answer) => Resolved | PromiseLike<Resolved>) | null,
    onRejected?: OnRejected<Rejected>,
  ): Promise<Resolved | Rejected> {
    this.#isAwaited = true;
    this.#markRead(Number.POSITIVE_INFINITY);
    return this.#answer.then(onResolved, onRejected);
  }

  /** @ignore */
  catch<Rejected = never>(onRejected?: OnRejected<Rejected>): Promise<Answer | Rejected> {
    return this.then(null, onRejected);
  }

  /** @ignore */
  finally(onEnded?: (() => void) | null): Promise<Answer> {
    return this.then().finally(onEnded);
  }

  /** The pieces, from the first; then the failure, if the answer fails. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void, undefined> {
    let next = 0;
    this.#isRead = true;
    try {
      for (;;) {
        const piece = this.#pieces[next];
        if (piece) {
          const named = this.#named[next] ?? this.#name(piece);
          this.#named[next] = named;
          next++;
          this.#markRead(next);
          yield named;
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

  /** @returns a promise of its being read, if it is to be waited for */
  #add(piece: PlainPiece): Promise<void> | undefined {
    this.#pieces.push(piece);
    this.#announce();
    if (!this.#isRead || this.#isAwaited) return undefined;
    return new Promise((resolve) => this.#unread.push(resolve));
  }

  /** The first `count` pieces were read. */
  #markRead(count: number): void {
    const before = this.#pieces.length - this.#unread.length;
    for (const wasRead of this.#unread.splice(0, Math.max(0, count - before))) wasRead();
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

// Tells a connection that is slow from one that is dead. A server that sends a byte now and then is dead too.

/** What a live connection brings in the time of one stall. */
const LEAST_BYTES = 16 * 1024;

/** Counts only the time in which somebody waits: a reader that is slow is not the server's fault. */
export class StallTimer {
  fired = false;
  readonly #milliseconds: number;
  readonly #onStall: () => void;
  #left: number;
  #bytes = 0;
  #startedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number, onStall: () => void) {
    this.#milliseconds = milliseconds;
    this.#left = milliseconds;
    this.#onStall = onStall;
  }

  run(): void {
    this.#startedAt = performance.now();
    this.#timer = setTimeout(
      () => {
        this.fired = true;
        this.#onStall();
      },
      Math.max(this.#left, 0),
    );
  }

  pause(): void {
    clearTimeout(this.#timer);
    this.#left -= performance.now() - this.#startedAt;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= LEAST_BYTES) this.reset();
  }

  reset(): void {
    this.#bytes = 0;
    this.#left = this.#milliseconds;
  }
}

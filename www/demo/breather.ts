// Long work in small pieces, so that the page never stands still.

/** So long may work go on before the page has its turn. A frame at 60 Hz is 16.7. */
const LONGEST_MILLISECONDS = 10;

export class Breather {
  #since = performance.now();

  /** Called often in a long loop: goes on at once, or after the page has had its turn. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since < LONGEST_MILLISECONDS) return;
    await new Promise<void>((resume) => setTimeout(resume));
    this.#since = performance.now();
  }
}

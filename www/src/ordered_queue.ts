// One task at a time, in the order of asking.

import { aborted, throwIfAborted } from "./errors.ts";
import { onAbort } from "./waiting.ts";

export class OrderedQueue {
  #last: Promise<unknown> = Promise.resolve();
  /** Fires when somebody queues behind the last task. */
  #contention = new AbortController();

  /**
   * Runs `task` after all earlier ones, however they ended. A task whose signal fires while it waits never runs.
   * @param task told by a signal of its own when another task waits for it
   */
  run<T>(task: (contended: AbortSignal) => Promise<T>, place: string, signal: AbortSignal): Promise<T> {
    this.#contention.abort();
    const contention = new AbortController();
    this.#contention = contention;
    return new Promise<T>((resolve, reject) => {
      const forget = onAbort(signal, () => reject(aborted(place, signal)));
      this.#last = this.#last.then(async () => {
        forget();
        try {
          throwIfAborted(place, signal);
          resolve(await task(contention.signal));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Settles when everything asked for so far has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}

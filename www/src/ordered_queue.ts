// One task at a time, in the order of asking.

import { aborted, throwIfAborted } from "./errors.ts";

export class OrderedQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `task` after all earlier ones, however they ended. A task whose signal fires while it waits never runs. */
  run<T>(task: () => Promise<T>, place: string, signal: AbortSignal): Promise<T> {
    const result = new Promise<T>((resolve, reject) => {
      const leave = () => reject(aborted(place, signal));
      signal.addEventListener("abort", leave, { once: true });
      this.#last = this.#last.then(async () => {
        signal.removeEventListener("abort", leave);
        try {
          throwIfAborted(place, signal);
          resolve(await task());
        } catch (error) {
          reject(error);
        }
      });
    });
    return result;
  }

  /** Settles when everything asked for so far has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}

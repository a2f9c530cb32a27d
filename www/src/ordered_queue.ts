// One task at a time, in the order of asking.

import { aborted, throwIfAborted } from "./errors.ts";
import { onAbort } from "./waiting.ts";

export class OrderedQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `task` after all earlier ones, however they ended. A task whose signal fires while it waits never runs. */
  run<T>(task: () => Promise<T>, place: string, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const forget = onAbort(signal, () => reject(aborted(place, signal)));
      this.#last = this.#last.then(async () => {
        forget();
        try {
          throwIfAborted(place, signal);
          resolve(await task());
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

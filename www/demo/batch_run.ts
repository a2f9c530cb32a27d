// Answers many rows, one after the other, and can be stopped and go on. Knows nothing of the page.

import { Breather } from "./breather.ts";

export interface BatchJob {
  /** How many rows there are. */
  rows: number;
  /** What is asked for a row. */
  textOf(row: number): string;
  /** @throws whatever ends the run, or what {@link isOfTheRow} says is a failure of this row alone */
  answer(text: string, signal: AbortSignal, row: number): Promise<string>;
  /** Whether a failure is one of this text, and not of the network, the device or the model. */
  isOfTheRow(error: unknown): boolean;
  onRow(row: number): void;
}

/** What became of a row. */
export type RowResult = { answer: string } | { failure: string };

/** Requests at once: the next is with the worker when one ends. */
const REQUESTS_AT_ONCE = 2;

export class BatchRun {
  readonly results: (RowResult | undefined)[];
  done = 0;
  failed = 0;
  readonly #job: BatchJob;
  /** Columns repeat themselves; the same text is asked once. */
  readonly #answers = new Map<string, Promise<string>>();
  /** Rows that a stop gave back, before those that nobody has looked at yet. */
  #givenBack: number[] = [];
  #next = 0;

  /** @param before what an earlier run left */
  constructor(job: BatchJob, before: readonly (readonly [row: number, result: RowResult])[] = []) {
    this.#job = job;
    this.results = new Array(job.rows);
    for (const [row, result] of before) {
      if (row >= job.rows || this.results[row]) continue;
      this.results[row] = result;
      this.done++;
      if ("failure" in result) this.failed++;
      else this.#answers.set(job.textOf(row), Promise.resolve(result.answer));
    }
  }

  get total(): number {
    return this.#job.rows;
  }

  get isDone(): boolean {
    return this.done === this.total;
  }

  /** Goes on until every row is done or the signal fires. Rows that are done stay done. @throws what ended the run */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const end = () => stop.abort();
    if (signal.aborted) return;
    signal.addEventListener("abort", end);
    try {
      const lines = Array.from({ length: REQUESTS_AT_ONCE }, () => this.#work(stop.signal));
      for (const line of lines) line.catch(end);
      const ends = await Promise.allSettled(lines);
      const failure = ends.find((one) => one.status === "rejected");
      if (failure && !signal.aborted) throw failure.reason;
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const breather = new Breather();
    while (!signal.aborted) {
      const row = this.#givenBack.shift() ?? this.#next++;
      if (row >= this.total) return;
      if (this.results[row]) continue;
      try {
        this.results[row] = { answer: await this.#answer(row, signal) };
      } catch (error) {
        if (!this.#job.isOfTheRow(error)) {
          this.#givenBack.push(row);
          throw error;
        }
        this.results[row] = { failure: error instanceof Error ? error.message : String(error) };
        this.failed++;
      }
      this.done++;
      this.#job.onRow(row);
      await breather.pause();
    }
  }

  async #answer(row: number, signal: AbortSignal): Promise<string> {
    const text = this.#job.textOf(row);
    if (text.trim() === "") return text;
    const known = this.#answers.get(text);
    if (known) return known;
    const asked = this.#job.answer(text, signal, row);
    this.#answers.set(text, asked);
    asked.catch(() => this.#answers.delete(text));
    return asked;
  }
}

/** How fast something has gone of late. */
export class Pace {
  readonly #windowMilliseconds: number;
  #samples: { time: number; done: number }[] = [];

  constructor(windowMilliseconds = 10_000) {
    this.#windowMilliseconds = windowMilliseconds;
  }

  /** Forgets what was before a pause. */
  restart(): void {
    this.#samples = [];
  }

  sample(time: number, done: number): void {
    this.#samples.push({ time, done });
    while ((this.#samples[1]?.time ?? time) < time - this.#windowMilliseconds) this.#samples.shift();
  }

  /** 0 as long as nothing is known. */
  get perSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.time === first.time) return 0;
    return ((last.done - first.done) * 1000) / (last.time - first.time);
  }
}

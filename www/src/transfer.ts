// One HTTP transfer that either ends or fails by name: statuses, stalls, broken connections, aborts, retries.

import { aborted, GanderError, throwIfAborted } from "./errors.ts";
import { onAbort } from "./waiting.ts";

/** How to reach the network, and how patiently. */
export interface Network {
  fetch: typeof fetch;
  /** Attempts in all. Only what may pass by itself is tried again: broken connections, stalls, 429 and 5xx. */
  attempts: number;
  /** Before the second attempt; doubled before each later one. */
  backoffMilliseconds: number;
  /** A connection that brings nothing for so long counts as broken. */
  stallMilliseconds: number;
}

export function defaultNetwork(): Network {
  return {
    // Called through a closure: browsers refuse a fetch that is called as a method of another object.
    fetch: (input, init) => globalThis.fetch(input, init),
    attempts: 3,
    backoffMilliseconds: 300,
    stallMilliseconds: 30_000,
  };
}

/** Reads a response's chunks to whatever is made of them. Chunks that it leaves unread are not fetched. */
export type Receive<T> = (response: Response, chunks: AsyncIterable<Uint8Array>) => Promise<T>;

/**
 * GETs `url` and hands the successful response to `receive`. A later attempt calls `receive` again, from the start.
 * @throws GanderError `not-found`, `http`, `network`, `aborted`, and whatever `receive` throws.
 */
export async function transfer<T>(
  network: Network,
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
  receive: Receive<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(url, signal);
    try {
      return await transferOnce(network, url, headers, signal, receive);
    } catch (error) {
      if (!(error instanceof TransientFailure)) throw error;
      if (attempt >= network.attempts) throw error.failure;
      await pause(network.backoffMilliseconds * 2 ** (attempt - 1), signal);
    }
  }
}

/** A failure that may pass by itself. */
class TransientFailure extends Error {
  readonly failure: GanderError;

  constructor(failure: GanderError) {
    super(failure.message);
    this.failure = failure;
  }
}

async function transferOnce<T>(
  network: Network,
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
  receive: Receive<T>,
): Promise<T> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  const forget = signal && onAbort(signal, stop);
  const stall = new StallTimer(network.stallMilliseconds, stop);

  /** Waits for the network and gives what goes wrong there its name. */
  async function waitFor<U>(promise: Promise<U>): Promise<U> {
    stall.restart();
    try {
      return await promise;
    } catch (cause) {
      if (signal?.aborted) throw aborted(url, signal);
      const problem = stall.fired
        ? `no bytes for ${network.stallMilliseconds / 1000} s`
        : `the connection failed (${cause instanceof Error ? cause.message : cause})`;
      const failure = new GanderError("network", url, problem, expectedAnswer(url), { cause });
      throw new TransientFailure(failure);
    } finally {
      stall.pause();
    }
  }

  async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    if (!reader) return;
    for (;;) {
      const { done, value } = await waitFor(reader.read());
      if (done) return;
      yield value;
    }
  }

  try {
    const response = await waitFor(network.fetch(url, { headers, signal: connection.signal }));
    checkStatus(response, url);
    return await receive(response, chunksOf(response));
  } finally {
    forget?.();
    // Ends a body that was not read to its end.
    connection.abort();
  }
}

function checkStatus(response: Response, url: string): void {
  if (response.ok) return;
  const missing = response.status === 404 || response.status === 410;
  const failure = new GanderError(
    missing ? "not-found" : "http",
    url,
    `the server answered ${response.status} ${response.statusText}`.trimEnd(),
    "the file",
  );
  const transient = response.status === 429 || response.status >= 500;
  throw transient ? new TransientFailure(failure) : failure;
}

/** Browsers do not say why they refuse; where it may have been their rule and not the network, the rule is named. */
function expectedAnswer(url: string): string {
  const own = globalThis.location?.origin;
  if (own === undefined || new URL(url).origin === own) return "an answer from the server";
  return `an answer that pages of ${own} may read (CORS: access-control-allow-origin), and a policy (CSP connect-src) that allows it`;
}

class StallTimer {
  fired = false;
  readonly #milliseconds: number;
  readonly #onStall: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number, onStall: () => void) {
    this.#milliseconds = milliseconds;
    this.#onStall = onStall;
  }

  restart(): void {
    this.pause();
    this.#timer = setTimeout(() => {
      this.fired = true;
      this.#onStall();
    }, this.#milliseconds);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }
}

/** Waits, and ends early if the signal fires. The caller looks at the signal. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      forget?.();
      resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    const forget = signal && onAbort(signal, finish);
  });
}

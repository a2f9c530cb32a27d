// One HTTP transfer that either ends or fails by name: statuses, stalls, broken connections, aborts, retries.

import { aborted, GanderError, throwIfAborted } from "./errors.ts";
import { checkAddress, checkRedirect } from "./safe_url.ts";
import { StallTimer } from "./stall_timer.ts";
import { onAbort, pause } from "./waiting.ts";

/** How patiently the network is used. What can be said in `LoadOptions.network`. */
export interface Patience {
  /**
   * Attempts in a row that may fail. Only what may pass by itself is tried again: broken connections, stalls, short
   * answers, 408, 425, 429 and 5xx. An attempt that brought a good piece of the file forward counts for nothing.
   */
  attempts: number;
  /** Before the second attempt, give or take a quarter; doubled before each later one. */
  backoffMilliseconds: number;
  /** A connection that is waited for so long, without bringing 16 KiB or its end, counts as broken. */
  stallMilliseconds: number;
  /** The longest `Retry-After` that is heeded. Who wants to be left alone for longer is not waited for. */
  longestWaitMilliseconds: number;
}

export interface Network extends Patience {
  fetch: typeof fetch;
}

export function defaultNetwork(): Network {
  return {
    // Called through a closure: browsers refuse a fetch that is called as a method of another object.
    fetch: (input, init) => globalThis.fetch(input, init),
    attempts: 4,
    backoffMilliseconds: 300,
    stallMilliseconds: 30_000,
    longestWaitMilliseconds: 30_000,
  };
}

/** What is asked for and what becomes of the answer. It may remember between attempts how far it came. */
export interface Exchange<T> {
  /** Of the next attempt: a later one may ask for the rest alone. */
  headers(): Record<string, string>;
  /** Bytes that need not be asked for again. */
  held(): number;
  /** Forgets them. */
  restart(): void;
  /** Reads a response's chunks to whatever is made of them. Chunks that it leaves unread are not fetched. */
  receive(response: Response, chunks: AsyncIterable<Uint8Array>): Promise<T>;
}

export interface TransferOptions {
  signal?: AbortSignal | undefined;
  /** `omit` for what another origin's file names; default `same-origin`. */
  credentials?: RequestCredentials | undefined;
  /** The browser's own cache of HTTP. */
  httpCache?: RequestCache | undefined;
}

/** A failure that may pass by itself, if tried again. */
export class TransientFailure extends Error {
  readonly failure: GanderError;
  readonly waitMilliseconds: number;

  constructor(failure: GanderError, waitMilliseconds = 0) {
    super(failure.message);
    this.failure = failure;
    this.waitMilliseconds = waitMilliseconds;
  }
}

/** An attempt that brings so much more than any before it was no failure. */
const PROGRESS_BYTES = 256 * 1024;

const outages = new WeakSet<GanderError>();

/** Whether an error says that a server could not be reached or was unwell, and nothing about the file. */
export function isOutage(error: unknown): boolean {
  return error instanceof GanderError && outages.has(error);
}

/**
 * GETs `url` and hands the successful response to the exchange, again for each attempt.
 * @throws GanderError `not-found`, `http`, `network`, `unsafe-url`, `aborted`, and whatever `receive` throws.
 */
export async function transfer<T>(
  network: Network,
  url: string,
  exchange: Exchange<T>,
  options: TransferOptions,
): Promise<T> {
  checkAddress(url);
  let { httpCache } = options;
  let best = exchange.held();
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(url, options.signal);
    try {
      return await transferOnce(network, url, exchange, { ...options, httpCache });
    } catch (error) {
      if (!(error instanceof TransientFailure)) throw error;
      if (exchange.held() >= best + PROGRESS_BYTES) {
        best = exchange.held();
        attempt = 0;
      }
      const isLast = attempt >= network.attempts;
      if (isLast || error.waitMilliseconds > network.longestWaitMilliseconds) throw error.failure;
      const backoff = network.backoffMilliseconds * 2 ** Math.max(attempt - 1, 0);
      await pause(Math.max(error.waitMilliseconds, backoff * (0.75 + Math.random() / 2)), options.signal);
      // Whatever came wrong must not come out of the browser's own cache again.
      if (httpCache !== "no-store") httpCache = "reload";
    }
  }
}

async function transferOnce<T>(
  network: Network,
  url: string,
  exchange: Exchange<T>,
  { signal, credentials, httpCache }: TransferOptions,
): Promise<T> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  const forget = signal && onAbort(signal, stop);
  const stall = new StallTimer(network.stallMilliseconds, stop);

  /** Waits for the network and gives what goes wrong there its name. */
  async function waitFor<U>(promise: Promise<U>): Promise<U> {
    stall.run();
    try {
      return await promise;
    } catch (cause) {
      if (signal?.aborted) throw aborted(url, signal);
      const problem = stall.fired
        ? `no or hardly any bytes for ${network.stallMilliseconds / 1000} s`
        : `the connection failed (${cause instanceof Error ? cause.message : cause})`;
      throw outage(new GanderError("network", url, problem, expectedOf(url), { cause }));
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
      stall.came(value.length);
      yield value;
    }
  }

  const init: RequestInit = { headers: exchange.headers(), signal: connection.signal };
  if (credentials) init.credentials = credentials;
  if (httpCache) init.cache = httpCache;
  try {
    const response = await waitFor(network.fetch(url, init));
    checkRedirect(url, response.url);
    checkStatus(response, url, exchange);
    stall.reset();
    return await exchange.receive(response, chunksOf(response));
  } finally {
    forget?.();
    // Ends a body that was not read to its end.
    connection.abort();
  }
}

function expectedOf(url: string): string {
  const page = globalThis.location?.origin;
  const isForeign = page !== undefined && new URL(url).origin !== page;
  return isForeign
    ? "an answer that this page may read (from another origin: with Access-Control-Allow-Origin)"
    : "an answer from the server";
}

/** A failure of the way to the file, not of the file. */
export function outage(failure: GanderError, waitMilliseconds = 0): TransientFailure {
  outages.add(failure);
  return new TransientFailure(failure, waitMilliseconds);
}

function checkStatus(response: Response, url: string, exchange: Exchange<unknown>): void {
  const { status } = response;
  if (response.ok) return;
  const missing = status === 404 || status === 410;
  const wait = retryAfterMilliseconds(response);
  const asks = wait > 0 ? `, and asks to wait ${Math.ceil(wait / 1000)} s` : "";
  const failure = new GanderError(
    missing ? "not-found" : "http",
    url,
    `the server answered ${status} ${response.statusText}`.trimEnd() + asks,
    "the file",
  );
  if (status === 416 && exchange.held() > 0) {
    // There is no rest to give: the file is another by now.
    exchange.restart();
    throw new TransientFailure(failure);
  }
  const passes = status === 408 || status === 425 || status === 429 || status >= 500;
  throw passes ? outage(failure, wait) : failure;
}

/** Seconds or a date. Other origins show the header only if they allow it. */
function retryAfterMilliseconds(response: Response): number {
  const header = response.headers.get("retry-after")?.trim();
  if (!header) return 0;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Math.max(wait || 0, 0);
}

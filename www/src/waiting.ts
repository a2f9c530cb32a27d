// Small helpers for things that take time.

/** A controller that also fires when any of `signals` does. (`AbortSignal.any` is too young for some browsers.) */
export function linked(...signals: AbortSignal[]): AbortController {
  const controller = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else {
      const forget = onAbort(signal, () => controller.abort(signal.reason));
      controller.signal.addEventListener("abort", forget, { once: true });
    }
  }
  return controller;
}

const callbacksBySignal = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back once when the signal fires. Returns how to take that back. One listener serves a signal however many wait
 * for it: Node takes more than ten for a leak and says so on the console.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = callbacksBySignal.get(signal);
  if (!callbacks) {
    const registered = new Set<() => void>();
    callbacks = registered;
    callbacksBySignal.set(signal, registered);
    signal.addEventListener(
      "abort",
      () => {
        for (const call of [...registered]) call();
        registered.clear();
      },
      { once: true },
    );
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

/**
 * All results; or the first failure, after `controller` has stopped the other tasks and they have ended. Unlike with
 * `Promise.all`, nothing goes on behind the caller's back.
 */
export async function allOrFirstFailure<T extends readonly unknown[]>(
  controller: AbortController,
  tasks: readonly [...T],
): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  let failure: { error: unknown } | undefined;
  const watched = tasks.map(async (task) => {
    try {
      return await task;
    } catch (error) {
      failure ??= { error };
      controller.abort(error);
      return undefined;
    }
  });
  const results = await Promise.all(watched);
  // Nothing is left to stop; this takes the controller off the signals that it is linked to.
  controller.abort();
  if (failure) throw failure.error;
  return results as { -readonly [Index in keyof T]: Awaited<T[Index]> };
}

/** Waits, and ends early if the signal fires. The caller looks at the signal. */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
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

/**
 * Lets waiting messages and timers run. A resolved promise would not, and setTimeout waits 4 ms in browsers once
 * nested, which is a token's time.
 */
export function yieldToEvents(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

// The memory that the threads of an engine share. How far it may grow has to be said when it is made, and browsers set so much
// of their address space aside: some refuse what others give.

const PAGE = 65536;
const GIB = 2 ** 30;

/** What a module begins with, and a little more: how much it is, is said nowhere that a script could read it. */
const FIRST_BYTES = 4 * 2 ** 20;

/** The most that WebAssembly addresses, and less, as long as a base and its experts may fit. */
const mostBytes = [4 * GIB, 2 * GIB, GIB, GIB / 2];

/** @throws RangeError where not even the least can be had */
export function sharedMemory(
  create = (descriptor: WebAssembly.MemoryDescriptor) => new WebAssembly.Memory(descriptor),
): WebAssembly.Memory {
  let refused: unknown;
  for (const most of mostBytes) {
    try {
      return create({ initial: FIRST_BYTES / PAGE, maximum: most / PAGE, shared: true });
    } catch (error) {
      refused = error;
    }
  }
  throw refused;
}

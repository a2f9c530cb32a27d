// The build with threads, but its helpers throw when they are to help, as one does that traps.
import init from "../../pkg/gander_threads.js";

export * from "../../pkg/gander_threads.js";
export default init;
export function help(): void {
  throw new WebAssembly.RuntimeError("unreachable");
}

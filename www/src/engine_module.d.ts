// `#engine` (package.json, "imports") is what wasm-bindgen makes of src/web.rs. Declared here so that types can be
// checked before, and without, a WebAssembly build.
declare module "#engine" {
  type Contract = import("./engine.ts").Engine;
  /** `step` is for the CPU alone and answers at once, which awaiting it does not mind; `nextStep` is for any device. */
  interface Generated extends Contract {
    nextStep(): ReturnType<Contract["step"]>;
  }
  export const Engine: {
    new (): Generated;
    /** Told the message of a panic, after which the module is of no use. */
    onPanic(told: (message: string) => void): void;
    filesOf: import("./engine.ts").EngineModule["filesOf"];
  };
  export default function init(options: {
    module_or_path: URL | string | BufferSource | WebAssembly.Module;
    /** For the build with threads alone. */
    memory?: WebAssembly.Memory;
  }): Promise<unknown>;
}

// What the build with threads has besides: src/web/helpers.rs. Where it is bundled, `#engine` is this module too.
declare module "#engine-threads" {
  export { default } from "#engine";
  export function ownModule(): WebAssembly.Module;
  /** So many helpers are there, or about to be. */
  export function useHelpers(count: number): void;
  /** Does not come back. */
  export function help(index: number): void;
  /** To be called by a helper that came back after all. */
  export function helperBrokeDown(): void;
}

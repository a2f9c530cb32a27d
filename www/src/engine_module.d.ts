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
  }): Promise<unknown>;
}

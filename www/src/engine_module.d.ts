// `#engine` (package.json, "imports") is what wasm-bindgen makes of src/web.rs. Declared here so that types can be
// checked before, and without, a WebAssembly build.
declare module "#engine" {
  export const Engine: {
    new (): import("./engine.ts").Engine;
    gatesOf: import("./engine.ts").EngineModule["gatesOf"];
  };
  export default function init(options: {
    module_or_path: URL | string | BufferSource | WebAssembly.Module;
  }): Promise<unknown>;
}

// Stands in for `#engine`, the wasm-bindgen glue, where a page is tested without a model.
export { ScriptedEngine as Engine } from "./scripted_engine.ts";
export default async function init(): Promise<void> {}

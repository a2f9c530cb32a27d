// Stands in for `#engine`, the wasm-bindgen glue, where a page is tested without a model.
export { ScriptedEngine as Engine } from "./scripted_engine.ts";
export default async function init(): Promise<void> {}

// Threads are started as for the real engine, and have nothing to do.
export const ownModule = (): unknown => null;
export function useHelpers(): void {}
export function help(): void {}
export function helperBrokeDown(): void {}

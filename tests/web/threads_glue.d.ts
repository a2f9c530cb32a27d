// The glue of the build with threads by its path, for whoever stands in for `#engine-threads`. Declared here so that types can be
// checked before, and without, a WebAssembly build.
declare module "*/pkg/gander_threads.js" {
  export { default, help, helperBrokeDown, ownModule, useHelpers } from "#engine-threads";
}

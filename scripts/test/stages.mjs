// The stages of npm test. Each answers with its counts, or throws.

import { join } from "node:path";
import { buildDemo } from "../build/demo.mjs";
import { buildPackage } from "../build/package.mjs";
import { checkSize } from "../build/size.mjs";
import { buildWasm } from "../build/wasm.mjs";
import { run } from "../lib/command.mjs";
import { root, wasmTarget } from "../lib/paths.mjs";
import { chromedriver, ensureBrowser } from "../setup/browser.mjs";
import { ensureRustComponents } from "../setup/rust_components.mjs";
import { ensureWasmTarget } from "../setup/wasm_target.mjs";
import { ensureWasmBindgen, ensureWasmPack } from "../setup/wasm_tools.mjs";
import { countLibtest, countStep } from "./counts.mjs";
import { runNodeTests } from "./node_tests.mjs";

const bin = (name) => join(root, "node_modules/.bin", name);

async function step(program, parameters, environment) {
  return countStep((await run(program, parameters, { environment })).status);
}

export const stages = [
  {
    name: "biome",
    title: "format and lint of TypeScript (biome)",
    run: () => step(bin("biome"), ["ci", "--error-on-warnings", "."]),
  },
  {
    name: "types",
    title: "types (tsc, strict)",
    run: () => step(bin("tsc"), ["-p", "tsconfig.json"]),
  },
  {
    name: "rustfmt",
    title: "format of Rust (rustfmt)",
    run: async () => {
      await ensureRustComponents();
      return step("cargo", ["fmt", "--check"]);
    },
  },
  {
    name: "clippy",
    title: "lint of Rust (clippy)",
    run: async () => {
      await ensureRustComponents();
      return step("cargo", ["clippy", "--locked", "--all-targets", "--", "-D", "warnings"]);
    },
  },
  {
    name: "clippy-wasm",
    title: "lint of Rust for WebAssembly (clippy)",
    run: async () => {
      const environment = await ensureWasmTarget();
      const target = ["--target", wasmTarget, "--no-default-features", "--lib", "--tests"];
      return step("cargo", ["clippy", "--locked", ...target, "--", "-D", "warnings"], environment);
    },
  },
  {
    name: "cargo",
    title: "cargo test",
    run: async () => {
      const { status, output } = await run("cargo", ["test", "--locked", "--no-fail-fast"]);
      return countLibtest(output, status);
    },
  },
  {
    name: "build",
    title: "build of the package and its size",
    run: async () => {
      await buildWasm();
      await buildPackage();
      await buildDemo();
      checkSize();
      return countStep(0);
    },
  },
  {
    name: "node",
    title: "the package in Node",
    run: () => runNodeTests("node"),
  },
  {
    name: "wasm",
    title: "Rust in Chromium (wasm-pack)",
    run: testRustInChromium,
  },
  {
    name: "page",
    title: "the page in Chromium",
    run: async () => {
      await ensureBrowser();
      return runNodeTests("page");
    },
  },
];

async function testRustInChromium() {
  await ensureBrowser();
  const environment = {
    ...(await ensureWasmTarget()),
    // wasm-pack takes the wasm-bindgen that it finds here instead of downloading one.
    PATH: `${await ensureWasmBindgen()}:${process.env.PATH}`,
    WASM_BINDGEN_TEST_TIMEOUT: "300",
  };
  const wasmPack = join(await ensureWasmPack(), "wasm-pack");
  const browser = ["--headless", "--chrome", "--chromedriver", chromedriver];
  // The same files as natively. Not --release: link-time optimisation of each of them would take minutes.
  const tests = ["--", "--locked", "--no-default-features", "--test", "*"];
  const test = ["test", "--mode", "no-install", ...browser, ...tests];
  const { status, output } = await run(wasmPack, test, { environment });
  return countLibtest(output, status);
}

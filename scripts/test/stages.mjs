// The stages of npm test. Each answers with its counts, or throws.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildDemo } from "../build/demo.mjs";
import { buildPackage } from "../build/package.mjs";
import { makeReference, referenceFile } from "../build/reference.mjs";
import { checkSize } from "../build/size.mjs";
import { buildWasm, environmentOf } from "../build/wasm.mjs";
import { relaxed, wasmBuilds } from "../build/wasm_builds.mjs";
import { run } from "../lib/command.mjs";
import { root, wasmTarget } from "../lib/paths.mjs";
import { say } from "../lib/say.mjs";
import { chromedriver, ensureBrowser, ensureFirefox } from "../setup/browser.mjs";
import { ensureRustComponents } from "../setup/rust_components.mjs";
import { ensureVulkan } from "../setup/vulkan.mjs";
import { ensureWasmTarget } from "../setup/wasm_target.mjs";
import { ensureGeckodriver, ensureWasmBindgen, ensureWasmPack } from "../setup/wasm_tools.mjs";
import { countLibtest, countStep } from "./counts.mjs";
import { runNodeTests } from "./node_tests.mjs";
import { testPackage } from "./package_tests.mjs";

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
      const target = ["--target", wasmTarget, "--no-default-features", "--lib", "--tests"];
      const counts = { passed: 0, failed: 0, skipped: 0 };
      for (const build of wasmBuilds) {
        const folder = ["--target-dir", build.targetFolder];
        const lint = ["clippy", "--locked", ...target, ...folder, ...build.cargo, "--", "-D", "warnings"];
        const { passed, failed } = await step("cargo", lint, await environmentOf(build));
        counts.passed += passed;
        counts.failed += failed;
      }
      return counts;
    },
  },
  {
    name: "cargo",
    title: "cargo test, on the CPU and on a GPU (Vulkan)",
    run: async () => {
      const environment = await ensureVulkan();
      const { status, output } = await run("cargo", ["test", "--locked", "--no-fail-fast"], { environment });
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
    name: "docs",
    title: "the API reference is current (TypeDoc)",
    run: async () => {
      const isCurrent = (await makeReference()) === readFileSync(referenceFile, "utf8");
      if (!isCurrent) say("docs/api.md is not what the comments say; npm run docs writes it");
      return countStep(isCurrent ? 0 : 1);
    },
  },
  {
    name: "node",
    title: "the package in Node",
    run: () => runNodeTests("web/node"),
  },
  {
    name: "wasm",
    title: "Rust in Chromium (wasm-pack)",
    run: testRustInChromium,
  },
  {
    name: "wasm-relaxed",
    title: "products of weights with relaxed SIMD in Chromium (wasm-pack)",
    run: testRelaxedInChromium,
  },
  {
    name: "firefox",
    title: "every kernel in Firefox (wasm-pack)",
    run: testKernelsInFirefox,
  },
  {
    name: "page",
    title: "the page in Chromium and Firefox",
    run: async () => {
      await ensureBrowser();
      await ensureFirefox();
      const geckodriver = join(await ensureGeckodriver(), "geckodriver");
      return runNodeTests("web/page", { GANDER_GECKODRIVER: geckodriver });
    },
  },
  {
    name: "package",
    title: "the packed package on pages, in Vite, webpack, Next and Node",
    run: testPackage,
  },
];

const inChromium = ["--chrome", "--chromedriver", chromedriver];

async function testRustInChromium() {
  await ensureBrowser();
  // The same files as natively.
  return testRustInBrowser(inChromium, ["--test", "*"]);
}

/** Of all that is compiled, only tiles of panels differ: their own tests, and the kernels that multiply with them. */
async function testRelaxedInChromium() {
  await ensureBrowser();
  return testRustInBrowser(inChromium, [...relaxed.cargo, "--lib", "--test", "panels", "--test", "kernels"]);
}

async function testKernelsInFirefox() {
  await ensureFirefox();
  const geckodriver = join(await ensureGeckodriver(), "geckodriver");
  return testRustInBrowser(["--firefox", "--geckodriver", geckodriver], ["--test", "kernels"]);
}

async function testRustInBrowser(browser, tests) {
  const environment = {
    ...(await ensureWasmTarget()),
    ...(await ensureVulkan()),
    // wasm-pack takes the wasm-bindgen that it finds here instead of downloading one.
    PATH: `${await ensureWasmBindgen()}:${process.env.PATH}`,
    WASM_BINDGEN_TEST_TIMEOUT: "600",
  };
  const wasmPack = join(await ensureWasmPack(), "wasm-pack");
  // Not --release: link-time optimisation of each test file would take minutes.
  const cargo = ["--", "--locked", "--no-default-features", ...tests];
  const test = ["test", "--mode", "no-install", "--headless", ...browser, ...cargo];
  const { status, output } = await run(wasmPack, test, { environment });
  return countLibtest(output, status);
}

// Runs other programs.

import { spawn, spawnSync } from "node:child_process";
import { root } from "./paths.mjs";

/**
 * Runs a program in the repository's root. Its output is shown as it comes and returned.
 * @param {string} program
 * @param {string[]} parameters
 * @param {{environment?: Record<string, string>, quiet?: boolean}} [options] quiet: show the output only on failure
 * @returns {Promise<{status: number, output: string}>}
 */
export function run(program, parameters, { environment = {}, quiet = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, parameters, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const collect = (shownOn) => (chunk) => {
      output += chunk;
      if (!quiet) shownOn.write(chunk);
    };
    child.stdout.setEncoding("utf8").on("data", collect(process.stdout));
    child.stderr.setEncoding("utf8").on("data", collect(process.stderr));
    const finish = (status) => {
      if (quiet && status !== 0) process.stderr.write(output);
      resolve({ status, output });
    };
    child.on("error", (error) => {
      output += `${program}: ${error.message}\n`;
      finish(127);
    });
    child.on("close", (status, signal) => {
      if (signal) output += `${program}: ended by ${signal}\n`;
      finish(status ?? 1);
    });
  });
}

/** As {@link run}, but a failure is thrown. */
export async function runOrThrow(program, parameters, options) {
  const result = await run(program, parameters, options);
  if (result.status !== 0) {
    throw new Error(`${program} ${parameters.join(" ")}: failed with status ${result.status}`);
  }
  return result;
}

/** What a short command prints, or undefined if it fails or does not exist. */
export function outputOf(program, parameters, environment = {}) {
  const { status, stdout } = spawnSync(program, parameters, {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  return status === 0 ? stdout.trim() : undefined;
}

// rustfmt and clippy, which rustup's minimal profile leaves out.

import { outputOf, runOrThrow } from "../lib/command.mjs";
import { say } from "../lib/say.mjs";

export async function ensureRustComponents() {
  for (const [component, command] of [
    ["rustfmt", "fmt"],
    ["clippy", "clippy"],
  ]) {
    if (outputOf("cargo", [command, "--version"]) !== undefined) continue;
    say(`rustup component add ${component} ...`);
    await runOrThrow("rustup", ["component", "add", component]);
  }
}

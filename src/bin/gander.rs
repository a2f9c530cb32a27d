//! The `gander` program. Its commands are in `src/cli`, one file each.

#[path = "../cli/mod.rs"]
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}

//! The program, as scripts use it.

use std::process::Command;

pub struct Output {
    pub success: bool,
    pub out: String,
    pub errors: String,
}

/// Runs `gander`.
pub fn gander(arguments: &[&str]) -> Output {
    // Without this folder, Vulkan drivers complain on the same stream as the program.
    let mut program = Command::new(env!("CARGO_BIN_EXE_gander"));
    let output =
        program.args(arguments).env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { success: output.status.success(), out: text(output.stdout), errors: text(output.stderr) }
}

//! The command line: the same engine on the same files, for making files and checking results.

mod catalog;
mod generate;
mod host;
mod output;
mod quantize;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gander::Result;

/// PHATGOOSE routing among LoRA experts over a quantised small T5.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer a line of text with a base and its experts
    Generate(Box<generate::Generate>),
    /// Publish experts as a catalogue, change it, check it
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Write a base model as one GGUF file, which llama.cpp can run too
    Quantize(quantize::Quantize),
}

/// Runs what the arguments ask for. An error is one line on standard error and exit status 1.
pub fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gander: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Catalog(command) => catalog::run(&command),
        Command::Quantize(arguments) => quantize::run(&arguments),
    }
}

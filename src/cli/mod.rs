//! The command line: the same engine on the same files, for making files and checking results.

mod catalog;
mod data;
mod eval;
mod generate;
mod host;
mod output;
mod quantize;
mod question;
mod score;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gander::{Error, ErrorCode, Result};
use serde::Serialize;

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
    /// Tell how likely each of some given answers is
    Score(Box<score::Score>),
    /// Compare strategies on sets of examples
    Eval(Box<eval::Eval>),
    /// Make a set of examples for eval of a BIG-bench task in JSON
    Convert(eval::convert::Convert),
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
        Command::Score(arguments) => score::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Convert(arguments) => eval::convert::run(&arguments),
        Command::Catalog(command) => catalog::run(&command),
        Command::Quantize(arguments) => quantize::run(&arguments),
    }
}

/// Puts text on standard output at once.
fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::new(ErrorCode::Io, "standard output", error.to_string(), "room to write"))
}

/// Prints a report as one line of JSON.
fn show_json(report: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(report).expect("a report has only numbers, strings and lists");
    show(&format!("{json}\n"))
}

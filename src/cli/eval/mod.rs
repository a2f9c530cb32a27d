//! `gander eval`: strategies on data sets, with intervals, and who served whom at what cost.

mod answer;
mod charts;
mod contestant;
pub mod convert;
mod html;
mod journal;
mod markdown;
mod metrics;
mod run;
mod statistics;
mod summary;

use std::path::PathBuf;

use clap::Args;
use gander::Result;

use self::run::Run;
use self::summary::summarise;
use super::data::DataSet;
use super::output::Output;
use super::question::{Model, Rules};
use super::show;

/// The files of a run, in its folder.
const JOURNAL: &str = "results.jsonl";
const SUMMARY: &str = "summary.json";
const MARKDOWN: &str = "summary.md";
const REPORT: &str = "report.html";

/// Arguments of `gander eval`.
#[derive(Debug, Args)]
pub struct Eval {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    rules: Rules,
    /// Sets of examples, or folders of them: JSONL with input and targets, or with input, choices and answer
    #[arg(long, value_name = "FILE|DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Strategies, as generate has them; oracle stands for single:ID of every expert, and for what follows from these
    #[arg(long, value_name = "NAME", num_args = 1.., default_values_t = ["phatgoose".to_owned(), "none".to_owned()])]
    strategy: Vec<String>,
    /// Experts for each token and layer; with several, each strategy that has a k runs with each [default: what the catalogue
    /// says, or 2]
    #[arg(long, value_name = "K", num_args = 1..)]
    top_k: Vec<usize>,
    /// Another model, asked by itself: one that was trained on all kinds at once, say.
    #[arg(long = "model", value_name = "NAME=PATH", num_args = 1.., value_parser = named_path)]
    model_too: Vec<(String, PathBuf)>,
    /// Most tokens to produce. No target may be longer
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// Use the first N lines of each set
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Folder for the results, line by line, and for the report. A run that was interrupted goes on
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Forget results that are in the folder
    #[arg(long)]
    restart: bool,
    /// The strategy that the others are compared with [default: the first]
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// Resamples for intervals
    #[arg(long, value_name = "N", default_value_t = 2000)]
    resamples: usize,
    /// Seed of the resamples, and of the strategy random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn named_path(argument: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, path) = argument.split_once('=').ok_or("expected a name, =, and a path")?;
    Ok((name.to_owned(), path.into()))
}

/// Runs the command.
pub fn run(arguments: &Eval) -> Result<()> {
    let mut sets = DataSet::open_all(&arguments.data)?;
    for set in &mut sets {
        set.lines.truncate(arguments.limit.unwrap_or(usize::MAX).max(1));
    }
    let run = Run::prepare(arguments, sets)?;
    let answers = run.answers(arguments)?;
    let against = arguments.against.clone().unwrap_or_else(|| run.contestants[0].label.clone());
    let summary = summarise(run.identity, &run.contestants, &run.sets, &answers, &against, run.bootstrap);
    let text = markdown::markdown(&summary);
    let mut output = Output::default();
    let json = serde_json::to_vec_pretty(&summary).expect("a summary has only numbers, strings and lists");
    output.write(&arguments.output.join(SUMMARY), &json)?;
    output.write(&arguments.output.join(MARKDOWN), text.as_bytes())?;
    output.write(&arguments.output.join(REPORT), html::report(&summary).as_bytes())?;
    output.commit()?;
    show(&text)?;
    eprintln!("gander: {}", arguments.output.join(REPORT).display());
    Ok(())
}

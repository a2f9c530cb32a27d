//! `gander convert`: JSONL of a task of BIG-bench in JSON.
//!
//! Inputs are put together as BIG-bench does it for zero shots (`bigbench/api/json_task.py`): the task's prefix, the example
//! between its own prefixes, and the choices below it unless the task forbids that.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use gander::formats::open::read;
use gander::{Error, ErrorCode, Result};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::cli::data::best;
use crate::cli::output::Output;

/// Arguments of `gander convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// A task of BIG-bench: task.json
    #[arg(value_name = "TASK.json")]
    task: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE.jsonl")]
    output: PathBuf,
    /// What ends every input, instead of the task's own: the evaluation of PHATGOOSE has "\nAnswer:"
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    suffix: Option<String>,
}

/// What is read of a task. Its other fields are for people.
#[derive(Deserialize)]
struct Task {
    name: String,
    examples: Vec<Example>,
    #[serde(default)]
    task_prefix: String,
    #[serde(default = "input_prefix")]
    example_input_prefix: String,
    #[serde(default = "output_prefix")]
    example_output_prefix: String,
    #[serde(default = "choice_prefix")]
    choice_prefix: String,
    #[serde(default = "yes")]
    append_choices_to_input: bool,
}

#[derive(Deserialize)]
struct Example {
    input: String,
    #[serde(default)]
    target: Option<Value>,
    #[serde(default)]
    target_scores: Option<Scores>,
}

/// Choices with their scores, in the order of the file.
struct Scores(Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Scores, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Scores;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object from choices to scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> std::result::Result<Scores, A::Error> {
                let mut scores = Vec::new();
                while let Some(entry) = fields.next_entry()? {
                    scores.push(entry);
                }
                Ok(Scores(scores))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn input_prefix() -> String {
    "\nQ: ".to_owned()
}

fn output_prefix() -> String {
    "\nA: ".to_owned()
}

fn choice_prefix() -> String {
    "\n  choice: ".to_owned()
}

fn yes() -> bool {
    true
}

/// Runs the command.
pub fn run(arguments: &Convert) -> Result<()> {
    let shown = arguments.task.display().to_string();
    let invalid = |problem: String, expected: &str| {
        Err(Error::new(ErrorCode::InvalidFile, shown.clone(), problem, expected))
    };
    let bytes = read(&arguments.task)?;
    let task: Task = match serde_json::from_slice(&bytes) {
        Ok(task) => task,
        Err(error) => {
            return invalid(
                error.to_string(),
                "a JSON task of BIG-bench: name, and examples with input and target",
            );
        }
    };
    if task.examples.is_empty() {
        return invalid("there is no example".to_owned(), "at least one");
    }
    let mut lines = String::new();
    for (index, example) in task.examples.iter().enumerate() {
        let place = format!("{shown}: example {index}");
        let line =
            convert(&task, example, arguments.suffix.as_deref()).map_err(|error| error.inside(place))?;
        lines += &format!("{line}\n");
    }
    let mut output = Output::default();
    output.write(&arguments.output, lines.as_bytes())?;
    output.commit()?;
    println!("{}: {} examples of {}", arguments.output.display(), task.examples.len(), task.name);
    Ok(())
}

fn convert(task: &Task, example: &Example, suffix: Option<&str>) -> Result<Value> {
    let refuse = |problem: &str, expected: &str| {
        Err(Error::new(ErrorCode::InvalidFile, "target", problem.to_owned(), expected.to_owned()))
    };
    let mut input = format!("{}{}{}", task.task_prefix, task.example_input_prefix, example.input);
    let scored = example.target_scores.iter().flat_map(|Scores(scores)| scores);
    let (choices, scores): (Vec<&str>, Vec<f64>) =
        scored.map(|(choice, score)| (&choice[..], *score)).unzip();
    if task.append_choices_to_input {
        input.extend(choices.iter().flat_map(|choice| [&task.choice_prefix[..], choice]));
    }
    input += suffix.unwrap_or(&task.example_output_prefix);
    let mut line = BTreeMap::from([("input", json!(input.trim_start())), ("kind", json!(task.name))]);
    if example.target_scores.is_some() {
        let right = best(&scores);
        if right.is_empty() {
            return refuse("no choice has a score above 0", "numbers, and above 0 for a right choice");
        }
        line.insert("choices", json!(choices));
        line.insert("answer", json!(right));
    } else {
        let targets = match &example.target {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if targets.is_empty() {
            return refuse("there is none", "target: a text or several, or target_scores");
        }
        line.insert("targets", json!(targets));
    }
    Ok(json!(line))
}

//! Examples in JSONL: what goes in, and what should come out.
//!
//! Fields may have the names that P3 and BIG-bench use for them:
//!
//! | what | names |
//! |---|---|
//! | the input | `input`, `inputs`, `inputs_pretokenized` |
//! | answers, each as good as the others | `targets`, `target`, `targets_pretokenized` |
//! | answers to choose from | `choices`, `answer_choices`, `multiple_choice_targets` |
//! | the right ones among them | `answer` (index, indices or text), `multiple_choice_scores`, or the target |
//! | experts that were trained for it | `experts`, `expert` |

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gander::experts::{hex, sha256};
use gander::formats::open::{read, unreadable};
use gander::{Error, ErrorCode, Result};
use serde_json::{Map, Value};

/// One file of examples.
pub struct DataSet {
    /// The file's name without its ending, and its folder's where that is needed.
    pub name: String,
    /// The name of the folder that it is in.
    pub folder: String,
    pub file: PathBuf,
    pub lines: Vec<Line>,
}

/// One example.
pub struct Line {
    /// From 1, as editors count.
    pub number: usize,
    /// Of the line as it is in the file: 16 hexadecimal digits.
    pub hash: String,
    pub input: String,
    pub task: Task,
    /// Ids of the experts that were trained for it, where the file says so.
    pub experts: Vec<String>,
}

/// What is to be done with the input.
pub enum Task {
    /// Write one of these.
    Write(Vec<String>),
    /// Rank these; the right ones by index, at least one.
    Choose { choices: Vec<String>, right: Vec<usize> },
}

impl DataSet {
    /// The sets of files and folders, a folder's in the order of their names. Those of one name have their folders' before it.
    ///
    /// # Errors
    /// Those of [`DataSet::open`]; [`ErrorCode::InvalidOption`] for two sets whose folders have one name too,
    /// [`ErrorCode::EmptyInput`] for a folder without any.
    pub fn open_all(paths: &[PathBuf]) -> Result<Vec<DataSet>> {
        let mut sets: Vec<DataSet> = Vec::new();
        for path in paths {
            for file in files_of(path)? {
                sets.push(DataSet::open(&file)?);
            }
        }
        let names: Vec<String> = sets.iter().map(|set| set.name.clone()).collect();
        for set in &mut sets {
            if names.iter().filter(|name| **name == set.name).count() > 1 {
                set.name = format!("{}/{}", set.folder, set.name);
            }
        }
        for (at, set) in sets.iter().enumerate() {
            if let Some(other) = sets[..at].iter().find(|other| other.name == set.name) {
                let problem = format!("{} has the name {:?} too", other.file.display(), set.name);
                let place = set.file.display().to_string();
                return Err(Error::new(ErrorCode::InvalidOption, place, problem, "every name once"));
            }
        }
        Ok(sets)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] with file and line for whatever is no example; [`ErrorCode::EmptyInput`] for a file without
    /// any.
    pub fn open(file: &Path) -> Result<DataSet> {
        let bytes = read(file)?;
        let shown = file.display();
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            Error::new(ErrorCode::InvalidFile, format!("{shown}:{line}"), "it is not UTF-8", "UTF-8")
        })?;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            lines.push(Line::parse(number, line).map_err(|error| error.inside(format!("{shown}:{number}")))?);
        }
        if lines.is_empty() {
            let expected = "at least one line: {\"input\": …, \"targets\": […]}";
            return Err(Error::new(
                ErrorCode::EmptyInput,
                shown.to_string(),
                "there is no example",
                expected,
            ));
        }
        let name = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let folder = std::path::absolute(file).ok();
        let folder = folder.as_deref().and_then(Path::parent).and_then(Path::file_name);
        let folder = folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(DataSet { name, folder, file: file.to_owned(), lines })
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let entries = entries.map_err(|error| unreadable(path, &error))?;
    let files: BTreeSet<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    let files: Vec<PathBuf> =
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "jsonl")).collect();
    match files.is_empty() {
        true => {
            Err(Error::new(ErrorCode::EmptyInput, path.display().to_string(), "there is no set", "*.jsonl"))
        }
        false => Ok(files),
    }
}

impl Line {
    fn parse(number: usize, line: &str) -> Result<Line> {
        let value: Value = serde_json::from_str(line).map_err(|error| {
            invalid(error.to_string(), "one JSON object: {\"input\": …, \"targets\": […]}")
        })?;
        let Value::Object(fields) = value else { return Err(invalid("it is no object", "a JSON object")) };
        let input = text(&fields, &["input", "inputs", "inputs_pretokenized"])
            .ok_or_else(|| invalid("there is no input", "a field \"input\" with text"))?;
        if input.trim().is_empty() {
            return Err(Error::new(ErrorCode::EmptyInput, "input", "it is empty", "text"));
        }
        let targets = texts(&fields, &["targets", "target", "targets_pretokenized"])?;
        let choices = texts(&fields, &["choices", "answer_choices", "multiple_choice_targets"])?;
        let task = match (targets, choices) {
            (targets, Some(choices)) => {
                let right = right_choices(&fields, &choices, targets.as_deref().unwrap_or(&[]))?;
                Task::Choose { choices, right }
            }
            (Some(targets), None) => Task::Write(targets),
            (None, None) => {
                let expected = "\"targets\": […], or \"choices\": […] with \"answer\": index";
                return Err(invalid("there are neither targets nor choices", expected));
            }
        };
        let experts = texts(&fields, &["experts", "expert"])?.unwrap_or_default();
        let hash = hex(&sha256(line.trim().as_bytes())[..8]);
        Ok(Line { number, hash, input, task, experts })
    }
}

/// The first of some fields that is a text.
fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| fields.get(*name)?.as_str()).map(str::to_owned)
}

/// The first of some fields that is a text or a list of texts; none if it is empty. P3 keeps token ids in `targets`.
fn texts(fields: &Map<String, Value>, names: &[&str]) -> Result<Option<Vec<String>>> {
    for name in names {
        match fields.get(*name) {
            Some(Value::String(text)) => return Ok(Some(vec![text.clone()])),
            Some(Value::Array(items)) if !items.is_empty() && !items.iter().all(Value::is_number) => {
                let texts: Option<Vec<String>> =
                    items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                return match texts {
                    Some(texts) => Ok(Some(texts)),
                    None => Err(invalid(format!("{name:?} is no list of texts"), "texts in quotes")),
                };
            }
            None | Some(Value::Null | Value::Array(_)) => {}
            Some(_) => return Err(invalid(format!("{name:?} is no text"), "a text, or a list of texts")),
        }
    }
    Ok(None)
}

fn right_choices(fields: &Map<String, Value>, choices: &[String], targets: &[String]) -> Result<Vec<usize>> {
    let index = |value: &Value| match value {
        Value::String(text) => choices.iter().position(|choice| choice == text),
        value => value.as_u64().map(|index| index as usize).filter(|index| *index < choices.len()),
    };
    let expected = || format!("the index of one of the {} choices, from 0, or several", choices.len());
    let right: Option<Vec<usize>> = match (fields.get("answer"), fields.get("multiple_choice_scores")) {
        (Some(Value::Array(answers)), _) => answers.iter().map(index).collect(),
        (Some(answer), _) => index(answer).map(|index| vec![index]),
        (None, Some(Value::Array(scores))) if scores.len() == choices.len() => {
            let scores: Option<Vec<f64>> = scores.iter().map(Value::as_f64).collect();
            scores.map(|scores| best(&scores))
        }
        (None, Some(_)) => None,
        (None, None) => {
            let is_target = |choice: &String| targets.iter().any(|target| target.trim() == choice.trim());
            Some((0..choices.len()).filter(|index| is_target(&choices[*index])).collect())
        }
    };
    right
        .filter(|right| !right.is_empty())
        .ok_or_else(|| invalid("it is not said which choice is right", expected()))
}

/// The indices of the highest scores, if one is above 0.
pub fn best(scores: &[f64]) -> Vec<usize> {
    let highest = scores.iter().copied().fold(0.0, f64::max);
    (0..scores.len()).filter(|index| highest > 0.0 && scores[*index] == highest).collect()
}

fn invalid(problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, "example", problem.into(), expected.into())
}

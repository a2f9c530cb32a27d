//! The file that results are added to, line by line: an interrupted run goes on behind its last line, and a later run with
//! more strategies or sets computes only those.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use gander::formats::open::read;
use gander::{Error, ErrorCode, Result};
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::cli::output::unwritable;

/// Results by key.
pub struct Journal {
    path: PathBuf,
    file: File,
    answers: HashMap<String, Answer>,
}

impl Journal {
    /// Opens a journal, or begins one. `run` is what all its results depend on.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] if it is of another run; [`ErrorCode::InvalidFile`] with the line that is no result. A
    /// last line that was cut off is taken away.
    pub fn open(path: &Path, run: &Map<String, Value>, restart: bool) -> Result<Journal> {
        let mut answers = HashMap::new();
        let mut length = 0;
        let is_new = restart || !path.exists();
        if !is_new {
            let bytes = read(path)?;
            // What has no end of line was cut off.
            length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for (number, line) in (1..).zip(bytes[..length].split(|byte| *byte == b'\n')) {
                let place = || format!("{}:{number}", path.display());
                let invalid = |error: serde_json::Error| {
                    let expected = "a line as this program writes it; --restart begins anew";
                    Error::new(ErrorCode::InvalidFile, place(), error.to_string(), expected)
                };
                match (number, line.is_empty()) {
                    (_, true) => {}
                    (1, _) => check_run(path, &serde_json::from_slice(line).map_err(invalid)?, run)?,
                    _ => {
                        let answer: Answer = serde_json::from_slice(line).map_err(invalid)?;
                        answers.insert(answer.key.clone(), answer);
                    }
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| unwritable(path, &error))?;
        file.set_len(length as u64).map_err(|error| unwritable(path, &error))?;
        let mut journal = Journal { path: path.to_owned(), file, answers };
        if length == 0 {
            journal.write(&Value::Object(run.clone()).to_string())?;
        }
        Ok(journal)
    }

    /// The result of this key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Adds a result.
    pub fn add(&mut self, answer: Answer) -> Result<()> {
        self.write(&serde_json::to_string(&answer).expect("numbers and texts"))?;
        self.answers.insert(answer.key.clone(), answer);
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<()> {
        // In one call, so that what is cut off is one line.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|error| unwritable(&self.path, &error))
    }
}

fn check_run(path: &Path, found: &Map<String, Value>, run: &Map<String, Value>) -> Result<()> {
    let fields = run.keys().chain(found.keys());
    match fields.into_iter().find(|field| found.get(*field) != run.get(*field)) {
        None => Ok(()),
        Some(field) => {
            let problem = format!("its results are of another run: {field} differs");
            let place = path.display().to_string();
            let expected = "another --output, or --restart, which forgets them";
            Err(Error::new(ErrorCode::InvalidOption, place, problem, expected))
        }
    }
}

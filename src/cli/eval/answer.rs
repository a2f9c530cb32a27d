//! One line, answered by one strategy: what came out, how good it is, who served it, what it cost.

use std::collections::BTreeMap;
use std::time::Instant;

use gander::session::{Request, Routing, ScoreStep, Scored, Session, Step, Strategy};
use gander::{ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::contestant::Contestant;
use super::metrics::{exact_match, rouge_l, token_accuracy};
use super::statistics::entropy_bits;
use crate::cli::data::{Line, Task};
use crate::cli::{host, score};

/// A result, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The label of the contestant.
    pub strategy: String,
    pub set: String,
    /// Number of the line in its file.
    pub line: usize,
    /// Of everything that decides the result.
    pub key: String,
    /// What was written, or the choice that was taken.
    pub output: String,
    /// Whether it is right: an exact match, or the right choice.
    pub score: f64,
    /// Of what was written.
    pub token_accuracy: Option<f64>,
    pub rouge_l: Option<f64>,
    /// By expert, the share of the weight that it had, over all tokens and layers; of a choice, over the encoder's.
    pub usage: BTreeMap<String, f64>,
    /// The mean over tokens and layers of the entropy of the weights, in bits: 0 where one expert had all.
    pub weight_entropy: f64,
    /// Tokens that were produced or scored.
    pub tokens: usize,
    /// Pages that were wanted, each once, and their bytes: what a first visitor fetches.
    pub pages: usize,
    pub bytes: usize,
    pub milliseconds: f64,
}

/// Answers a line. `request` has what all lines share.
pub fn answer(
    session: &mut Session,
    contestant: &Contestant,
    request: &Request,
    set: &str,
    line: &Line,
    key: String,
) -> Result<Answer> {
    let mut request = Request {
        text: Some(line.input.clone()),
        strategy: contestant.strategy.clone(),
        top_k: contestant.top_k.or(request.top_k),
        trace: true,
        ..request.clone()
    };
    if contestant.model.is_some() || matches!(contestant.strategy, Strategy::Single(_)) {
        // Who may be chosen is for those who choose; and another model knows none of these experts.
        let Request { include, exclude, bias, .. } = Request::default();
        request = Request { include, exclude, bias, ..request };
    }
    let start = Instant::now();
    let mut usage = Usage::default();
    let written = match &line.task {
        Task::Write(targets) => write(session, request, targets, &mut usage)?,
        Task::Choose { choices, right } => choose(session, request, choices, right, &mut usage)?,
    };
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let work = session.work();
    let Written { output, score, token_accuracy, rouge_l, tokens } = written;
    let (usage, weight_entropy) = usage.shares();
    Ok(Answer {
        strategy: contestant.label.clone(),
        set: set.to_owned(),
        line: line.number,
        key,
        output,
        score,
        token_accuracy,
        rouge_l,
        usage,
        weight_entropy,
        tokens,
        pages: work.pages_wanted,
        bytes: work.bytes_wanted,
        milliseconds,
    })
}

struct Written {
    output: String,
    score: f64,
    token_accuracy: Option<f64>,
    rouge_l: Option<f64>,
    tokens: usize,
}

fn write(session: &mut Session, request: Request, targets: &[String], usage: &mut Usage) -> Result<Written> {
    session.start(request)?;
    loop {
        match host::step(session)? {
            Step::Token(token) => {
                if session.output_ids().len() == 1 {
                    usage.add(&session.encoder_routing());
                }
                usage.add(&token.routing);
            }
            Step::Done(_) => break,
            Step::Missing(_) => unreachable!("the host provides what is missing"),
        }
    }
    let output = session.text().unwrap_or_default().to_owned();
    let ids: Vec<Vec<u32>> =
        targets.iter().map(|target| target_ids(session, target)).collect::<Result<_>>()?;
    Ok(Written {
        score: exact_match(&output, targets),
        // Of the text, not as the model cut it: one text has many cuts.
        token_accuracy: Some(token_accuracy(&target_ids(session, &output)?, &ids)),
        rouge_l: Some(rouge_l(&output, targets)),
        tokens: session.output_ids().len(),
        output,
    })
}

/// The tokens of an answer, end token included. An empty answer is the end token alone.
pub fn target_ids(session: &Session, text: &str) -> Result<Vec<u32>> {
    match session.choice_ids(text) {
        Err(error) if error.code == ErrorCode::EmptyInput => {
            Ok(session.model().config.eos_token_ids.first().copied().into_iter().collect())
        }
        ids => ids,
    }
}

fn choose(
    session: &mut Session,
    request: Request,
    choices: &[String],
    right: &[usize],
    usage: &mut Usage,
) -> Result<Written> {
    let ids: Vec<Vec<u32>> =
        choices.iter().map(|choice| target_ids(session, choice)).collect::<Result<_>>()?;
    session.start_scoring(request, ids)?;
    let mut scored: Vec<Scored> = Vec::new();
    loop {
        match session.score()? {
            ScoreStep::Missing(pages) => host::provide(session, &pages)?,
            ScoreStep::Token => {}
            ScoreStep::Scored(choice) => scored.push(choice),
            ScoreStep::Done => break,
        }
    }
    usage.add(&session.encoder_routing());
    let best = score::best(&scored);
    Ok(Written {
        output: choices[best].clone(),
        score: f64::from(u8::from(right.contains(&best))),
        token_accuracy: None,
        rouge_l: None,
        tokens: scored.iter().map(|choice| choice.ids.len()).sum(),
    })
}

/// Who served, summed over tokens and layers.
#[derive(Default)]
struct Usage {
    weights: BTreeMap<String, f64>,
    entropy: f64,
    choices: usize,
}

impl Usage {
    fn add(&mut self, routing: &Routing) {
        let names = &routing.names;
        let mut sums = vec![0.0; names.experts.len()];
        for (chosen, weights) in routing.cells() {
            // Numbers that are no place stand where fewer experts than k were chosen.
            let taken: Vec<(usize, f64)> = (chosen.iter().zip(weights))
                .map(|(place, weight)| (*place as usize, f64::from(*weight)))
                .filter(|(place, _)| *place < sums.len())
                .collect();
            if taken.is_empty() {
                continue;
            }
            taken.iter().for_each(|(place, weight)| sums[*place] += weight);
            self.entropy += entropy_bits(taken.iter().map(|(_, weight)| *weight));
            self.choices += 1;
        }
        for (expert, sum) in names.experts.iter().zip(sums).filter(|(_, sum)| *sum > 0.0) {
            *self.weights.entry(expert.clone()).or_default() += sum;
        }
    }

    fn shares(self) -> (BTreeMap<String, f64>, f64) {
        // Six digits are more than anybody reads, and halve the file.
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let total: f64 = self.weights.values().sum();
        let shares = self.weights.into_iter().map(|(expert, weight)| (expert, rounded(weight / total)));
        (shares.collect(), rounded(self.entropy / self.choices.max(1) as f64))
    }
}

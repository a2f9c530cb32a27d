//! From results to figures: means with intervals, by set, by folder of sets, and over all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::contestant::Contestant;
use super::statistics::{Estimate, Interval, entropy_bits, mean};
use crate::cli::data::DataSet;
use gander::session::Strategy;

/// All figures of a run: `summary.json`.
#[derive(Serialize)]
pub struct Summary {
    /// What all results depend on.
    pub run: Map<String, Value>,
    /// The strategy that the others are compared with.
    pub against: String,
    pub resamples: usize,
    pub seed: u64,
    /// By label, what a strategy that was not run itself is.
    pub derived: BTreeMap<String, &'static str>,
    /// All sets together, where there are several; folders, where there are several; every set.
    pub blocks: Vec<Block>,
}

/// Figures over one set, or over several, each as heavy as the others.
#[derive(Serialize)]
pub struct Block {
    pub name: String,
    pub kind: BlockKind,
    pub lines: usize,
    /// One for each strategy, in the order of the run.
    pub results: Vec<Figures>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    All,
    Folder,
    Set,
}

/// What one strategy came to.
#[derive(Serialize)]
pub struct Figures {
    pub strategy: String,
    /// The share of right answers.
    pub score: Interval,
    /// How much that is above the strategy compared with, on the same lines.
    pub difference: Interval,
    /// Of what was written; none where all was chosen.
    pub token_accuracy: Option<f64>,
    pub rouge_l: Option<f64>,
    /// By expert, the share of the weight that it had.
    pub usage: BTreeMap<String, f64>,
    /// How evenly experts were used over the lines, in bits: at most log2 of their number.
    pub usage_entropy_bits: f64,
    /// How evenly the weight of one token on one layer was shared, in bits: at most log2 k.
    pub weight_entropy_bits: f64,
    /// Of the weight, the share that went to the experts that answer the line best, or were trained for it; over lines of
    /// which that is known.
    pub oracle_weight: Option<f64>,
    /// The share of these lines whose most used expert is one of those.
    pub oracle_agreement: Option<f64>,
    pub milliseconds: f64,
    pub tokens: f64,
    pub pages: f64,
    pub bytes: f64,
}

/// One strategy's results, set by set and line by line.
struct Row<'a> {
    label: String,
    answers: Vec<Vec<&'a Answer>>,
}

/// How sure the figures are to be.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    pub resamples: usize,
    pub seed: u64,
}

/// Reckons. `answers`: by contestant, set and line.
pub fn summarise(
    run: Map<String, Value>,
    contestants: &[Contestant],
    sets: &[DataSet],
    answers: &[Vec<Vec<Answer>>],
    against: &str,
    bootstrap: Bootstrap,
) -> Summary {
    let mut rows: Vec<Row> = (contestants.iter().zip(answers))
        .map(|(contestant, answers)| Row {
            label: contestant.label.clone(),
            answers: answers.iter().map(|set| set.iter().collect()).collect(),
        })
        .collect();
    let singles: Vec<(&str, &[Vec<Answer>])> = (contestants.iter().zip(answers))
        .filter_map(|(contestant, answers)| match &contestant.strategy {
            Strategy::Single(id) if contestant.is_of_oracle => Some((id.as_str(), &answers[..])),
            _ => None,
        })
        .collect();
    let best: Vec<Vec<BTreeSet<String>>> = best_experts(sets, &singles);
    let routed = contestants.iter().position(|contestant| contestant.strategy == Strategy::Phatgoose);
    let derived = derive(&singles, routed.map(|at| &answers[at][..]));
    let explanations = derived.iter().map(|(row, what)| (row.label.clone(), *what)).collect();
    rows.extend(derived.into_iter().map(|(row, _)| row));

    let estimates: Vec<Vec<Estimate>> = (0..sets.len())
        .map(|set| {
            let scores: Vec<Vec<f64>> =
                rows.iter().map(|row| row.answers[set].iter().map(|answer| answer.score).collect()).collect();
            Estimate::of_rows(&scores, bootstrap.resamples, bootstrap.seed.wrapping_add(set as u64))
        })
        .collect();
    let reference = rows.iter().position(|row| row.label == against).unwrap_or(0);
    let block = |name: &str, kind, members: &[usize]| Block {
        name: name.to_owned(),
        kind,
        lines: members.iter().map(|set| sets[*set].lines.len()).sum(),
        results: (rows.iter().enumerate())
            .map(|(at, row)| {
                let of = |at: usize| {
                    Estimate::mean_of(&members.iter().map(|set| &estimates[*set][at]).collect::<Vec<_>>())
                };
                let (own, other) = (of(at), of(reference));
                figures(row, members, &best, own.interval(), own.minus(&other).interval())
            })
            .collect(),
    };
    let mut blocks = Vec::new();
    if sets.len() > 1 {
        blocks.push(block("all", BlockKind::All, &(0..sets.len()).collect::<Vec<_>>()));
    }
    let mut folders: Vec<(&str, Vec<usize>)> = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        match folders.iter_mut().find(|(name, _)| *name == set.folder) {
            Some((_, members)) => members.push(at),
            None => folders.push((&set.folder, vec![at])),
        }
    }
    if folders.len() > 1 {
        blocks.extend(folders.iter().map(|(name, members)| block(name, BlockKind::Folder, members)));
    }
    blocks.extend(sets.iter().enumerate().map(|(at, set)| block(&set.name, BlockKind::Set, &[at])));
    Summary {
        run,
        against: rows[reference].label.clone(),
        resamples: bootstrap.resamples,
        seed: bootstrap.seed,
        derived: explanations,
        blocks,
    }
}

/// By set and line, the experts that the file names for it; else those whose score is the highest, if that tells them apart.
fn best_experts(sets: &[DataSet], singles: &[(&str, &[Vec<Answer>])]) -> Vec<Vec<BTreeSet<String>>> {
    let of_line = |set: usize, line: usize, named: &[String]| -> BTreeSet<String> {
        if !named.is_empty() {
            return named.iter().cloned().collect();
        }
        let scores = singles.iter().map(|(id, answers)| (*id, answers[set][line].score));
        let highest = scores.clone().map(|(_, score)| score).fold(0.0, f64::max);
        let best: BTreeSet<String> =
            scores.filter(|(_, score)| *score == highest).map(|(id, _)| id.to_owned()).collect();
        if best.len() == singles.len() { BTreeSet::new() } else { best }
    };
    let of_set = |(at, set): (usize, &DataSet)| {
        set.lines.iter().enumerate().map(|(line, example)| of_line(at, line, &example.experts)).collect()
    };
    sets.iter().enumerate().map(of_set).collect()
}

/// What follows from the answers of single experts, each with what it is.
fn derive<'a>(
    singles: &[(&'a str, &'a [Vec<Answer>])],
    routed: Option<&'a [Vec<Answer>]>,
) -> Vec<(Row<'a>, &'static str)> {
    if singles.len() < 2 {
        return Vec::new();
    }
    let sets = singles[0].1.len();
    let row = |label: &str, answers| Row { label: label.to_owned(), answers };
    let rank =
        |answer: &Answer| [answer.score, answer.rouge_l.unwrap_or(0.0), answer.token_accuracy.unwrap_or(0.0)];
    // The first of equals.
    let better = |best: &'a Answer, other: &'a Answer| {
        if rank(other).partial_cmp(&rank(best)) == Some(std::cmp::Ordering::Greater) { other } else { best }
    };
    let of_line = |set: usize, line: usize| {
        let answers = singles.iter().map(|(_, answers)| &answers[set][line]);
        answers.reduce(better).expect("there are several")
    };
    let of_set = |set: usize| {
        let score = |answers: &[Answer]| mean(&answers.iter().map(|answer| answer.score).collect::<Vec<_>>());
        let best =
            |best: &'a [Answer], other: &'a [Answer]| if score(other) > score(best) { other } else { best };
        singles.iter().map(|(_, answers)| &answers[set][..]).reduce(best).expect("there are several")
    };
    let lines = |set: usize| 0..singles[0].1[set].len();
    let mut derived = vec![
        (
            row("oracle", (0..sets).map(|set| lines(set).map(|line| of_line(set, line)).collect()).collect()),
            "the best single expert for each line, known from the result",
        ),
        (
            row("oracle-set", (0..sets).map(|set| of_set(set).iter().collect()).collect()),
            "the best single expert for each set, known from the result",
        ),
    ];
    let whole = |set: usize, line: usize| {
        let usage = routed?[set][line].usage.iter();
        let (id, _) = usage.reduce(|best, other| if other.1 > best.1 { other } else { best })?;
        singles.iter().find(|(single, _)| single == id).map(|(_, answers)| &answers[set][line])
    };
    let whole: Option<Vec<Vec<&Answer>>> =
        (0..sets).map(|set| lines(set).map(|line| whole(set, line)).collect()).collect();
    if let Some(answers) = whole {
        let what = "phatgoose for the whole input: the expert that has most of its weight, for all tokens and layers";
        derived.push((row("whole-input", answers), what));
    }
    derived
}

fn figures(
    row: &Row,
    members: &[usize],
    best: &[Vec<BTreeSet<String>>],
    score: Interval,
    difference: Interval,
) -> Figures {
    // Every set is as heavy as the others, however many lines it has.
    let over_sets = |of: &dyn Fn(usize, &Answer) -> Option<f64>| -> Option<f64> {
        let means: Vec<f64> = (members.iter())
            .filter_map(|set| {
                let values: Vec<f64> = row.answers[*set]
                    .iter()
                    .enumerate()
                    .filter_map(|(line, answer)| of(line, answer))
                    .collect();
                (!values.is_empty()).then(|| mean(&values))
            })
            .collect();
        (!means.is_empty()).then(|| mean(&means))
    };
    let average = |of: &dyn Fn(&Answer) -> f64| over_sets(&|_, answer| Some(of(answer))).unwrap_or(0.0);
    let experts: BTreeSet<&String> =
        members.iter().flat_map(|set| &row.answers[*set]).flat_map(|answer| answer.usage.keys()).collect();
    let usage: BTreeMap<String, f64> = (experts.into_iter())
        .map(|expert| (expert.clone(), average(&|answer| answer.usage.get(expert).copied().unwrap_or(0.0))))
        .collect();
    // Over the lines of a set, of which it is known who is best, and who served.
    let oracle = |of: &dyn Fn(&Answer, &BTreeSet<String>) -> f64| {
        let means: Vec<f64> = (members.iter())
            .filter_map(|set| {
                let known = row.answers[*set].iter().zip(&best[*set]);
                let known = known.filter(|(answer, best)| !best.is_empty() && !answer.usage.is_empty());
                let values: Vec<f64> = known.map(|(answer, best)| of(answer, best)).collect();
                (!values.is_empty()).then(|| mean(&values))
            })
            .collect();
        (!means.is_empty()).then(|| mean(&means))
    };
    let weight_on = |answer: &Answer, best: &BTreeSet<String>| -> f64 {
        answer
            .usage
            .iter()
            .filter(|(expert, _)| best.contains(*expert))
            .fold(0.0, |sum, (_, share)| sum + share)
    };
    let agrees = |answer: &Answer, best: &BTreeSet<String>| {
        let most = answer.usage.iter().reduce(|most, other| if other.1 > most.1 { other } else { most });
        f64::from(u8::from(most.is_some_and(|(expert, _)| best.contains(expert))))
    };
    Figures {
        strategy: row.label.clone(),
        score,
        difference,
        token_accuracy: over_sets(&|_, answer| answer.token_accuracy),
        rouge_l: over_sets(&|_, answer| answer.rouge_l),
        usage_entropy_bits: entropy_bits(usage.values().copied()),
        usage,
        weight_entropy_bits: average(&|answer| answer.weight_entropy),
        oracle_weight: oracle(&weight_on),
        oracle_agreement: oracle(&agrees),
        milliseconds: average(&|answer| answer.milliseconds),
        tokens: average(&|answer| answer.tokens as f64),
        pages: average(&|answer| answer.pages as f64),
        bytes: average(&|answer| answer.bytes as f64),
    }
}

//! What is compared: strategies, some with several k, and those that follow from others' answers.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gander::experts::Expert;
use gander::session::Strategy;
use gander::strategies::Count;
use gander::{Error, ErrorCode, Result};

/// A strategy with its k, or another model.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// What tables and charts call it.
    pub label: String,
    pub strategy: Strategy,
    pub top_k: Option<usize>,
    /// Another model than the run's, without experts.
    pub model: Option<PathBuf>,
    /// A single expert that other strategies may choose too: one of those that the oracle has.
    pub is_of_oracle: bool,
}

/// Stands for `single:<id>` of every expert that may be chosen, and for what follows from these.
pub const ORACLE: &str = "oracle";

/// What is compared.
pub struct Wishes<'a> {
    /// Names of strategies.
    pub strategies: &'a [String],
    /// Values of k, for strategies that have one.
    pub top_k: &'a [usize],
    /// Other models, by label.
    pub models: &'a [(String, PathBuf)],
}

impl Wishes<'_> {
    /// The contestants, in the order of the wishes, each once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] and [`ErrorCode::UnknownExpert`] for a name that is none.
    pub fn contestants(
        &self,
        experts: &[Expert],
        may_be_chosen: impl Fn(&Expert) -> bool,
    ) -> Result<Vec<Contestant>> {
        let mut contestants: Vec<Contestant> = Vec::new();
        for name in self.strategies {
            if name == ORACLE {
                let experts = experts.iter().filter(|expert| may_be_chosen(expert));
                contestants.extend(experts.map(|expert| Contestant::single(expert, true)));
                continue;
            }
            let strategy = Strategy::parse(name)
                .map_err(|error| Error { expected: format!("{}, {ORACLE}", error.expected), ..error })?;
            let has_k = strategy.definition().count == Count::K && strategy != Strategy::None;
            match &strategy {
                Strategy::Single(id) => {
                    let expert = experts.iter().find(|expert| expert.is_called(id));
                    let expert = expert.ok_or_else(|| unknown_expert(id, experts))?;
                    contestants.push(Contestant::single(expert, may_be_chosen(expert)));
                }
                _ if has_k && !self.top_k.is_empty() => contestants.extend(self.top_k.iter().map(|k| {
                    let label = match self.top_k.len() {
                        1 => strategy.name(),
                        _ => format!("{} k={k}", strategy.name()),
                    };
                    Contestant { top_k: Some(*k), ..Contestant::new(label, strategy.clone()) }
                })),
                _ => contestants.push(Contestant::new(strategy.name(), strategy)),
            }
        }
        for (label, model) in self.models {
            let model = Some(model.clone());
            contestants.push(Contestant { model, ..Contestant::new(label.clone(), Strategy::None) });
        }
        let mut labels = BTreeSet::new();
        contestants.retain(|contestant| labels.insert(contestant.label.clone()));
        Ok(contestants)
    }
}

impl Contestant {
    fn new(label: String, strategy: Strategy) -> Contestant {
        Contestant { label, strategy, top_k: None, model: None, is_of_oracle: false }
    }

    fn single(expert: &Expert, is_of_oracle: bool) -> Contestant {
        let strategy = Strategy::Single(expert.id.clone());
        Contestant { is_of_oracle, ..Contestant::new(strategy.name(), strategy) }
    }
}

fn unknown_expert(id: &str, experts: &[Expert]) -> Error {
    let known: Vec<&str> = experts.iter().map(|expert| expert.id.as_str()).collect();
    let (problem, expected) = (format!("there is no expert {id:?}"), format!("one of: {}", known.join(", ")));
    Error::new(ErrorCode::UnknownExpert, "--strategy", problem, expected)
}

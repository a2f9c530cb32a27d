//! What is compared: strategies, some with several k, and those that follow from others' answers.

use gander::experts::Expert;
use gander::session::Strategy;
use gander::strategies::Count;
use gander::{Error, ErrorCode, Result};

/// A strategy with its k.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// What tables and charts call it.
    pub label: String,
    pub strategy: Strategy,
    pub top_k: Option<usize>,
}

/// Stands for every `single:<id>`, and for what follows from them.
pub const ORACLE: &str = "oracle";

/// The contestants that names and values of k ask for, in their order. `experts` are those that take part.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] and [`ErrorCode::UnknownExpert`] for a name that is none.
pub fn contestants(names: &[String], top_k: &[usize], experts: &[&Expert]) -> Result<Vec<Contestant>> {
    let mut contestants: Vec<Contestant> = Vec::new();
    let mut add = |contestant: Contestant| {
        if !contestants.iter().any(|other| other.label == contestant.label) {
            contestants.push(contestant);
        }
    };
    for name in names {
        if name == ORACLE {
            for expert in experts {
                let strategy = Strategy::Single(expert.id.clone());
                add(Contestant { label: strategy.name(), strategy, top_k: None });
            }
            continue;
        }
        let strategy = Strategy::parse(name)
            .map_err(|error| Error { expected: format!("{}, {ORACLE}", error.expected), ..error })?;
        if let Strategy::Single(id) = &strategy
            && !experts.iter().any(|expert| expert.is_called(id))
        {
            let known: Vec<&str> = experts.iter().map(|expert| expert.id.as_str()).collect();
            let (problem, expected) =
                (format!("there is no expert {id:?}"), format!("one of: {}", known.join(", ")));
            return Err(Error::new(ErrorCode::UnknownExpert, "--strategy", problem, expected));
        }
        let has_k = strategy.definition().count == Count::K && strategy != Strategy::None;
        match has_k && !top_k.is_empty() {
            true => {
                for k in top_k {
                    let label = match top_k.len() {
                        1 => strategy.name(),
                        _ => format!("{} k={k}", strategy.name()),
                    };
                    add(Contestant { label, strategy: strategy.clone(), top_k: Some(*k) });
                }
            }
            false => add(Contestant { label: strategy.name(), strategy, top_k: None }),
        }
    }
    Ok(contestants)
}

//! How experts are chosen: PHATGOOSE and its rivals over the same experts, each in a file of its own with formula and source.
//!
//! In all of them the outputs of experts are mixed, never their A and B apart; a layer considers the experts that have LoRA
//! there, and, where the strategy has vectors, one of those; and biases are added to scores. What differs is said in a
//! [`Strategy::definition`].

pub mod arrow;
pub mod average_activation;
pub mod gated;
pub mod merged;
pub mod none;
pub mod phatgoose;
pub mod random;
pub mod retrieval;
pub mod single;
pub mod spectr;

use crate::error::{Error, ErrorCode, Result};
use crate::kernels::score::Rule;

/// How experts are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Strategy {
    /// By gate, for every token and layer.
    #[default]
    Phatgoose,
    /// By gate, and each as open as its gate.
    Gated,
    /// None: the base alone.
    None,
    /// Always this one.
    Single(String),
    /// All, equally.
    Merged,
    /// By lot, for every token and layer.
    Random,
    /// By the mean input of each layer over the expert's examples, for every token and layer.
    AverageActivation,
    /// By the direction that the expert changes most, for every token and layer.
    Arrow,
    /// By how much the expert would change, for every token and layer.
    Spectr,
    /// By the example of an expert that is most like the input, once for the whole input.
    Retrieval,
}

/// What a strategy is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// What tells experts apart on a layer.
    pub vectors: Vectors,
    /// How that becomes a score.
    pub rule: Rule,
    /// How many experts serve a token on a layer.
    pub count: Count,
    /// Whether the weight of an expert is multiplied with `sigmoid(v · u)`, of its vector v before that is normalised.
    pub opens: bool,
}

/// What tells experts apart on a layer: a vector (d_in) for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vectors {
    /// Their trained gates.
    #[default]
    Gates,
    /// Mean inputs, see [`average_activation`].
    Means,
    /// Prototypes, see [`arrow`].
    Prototypes,
    /// Nothing: every expert that adapts the layer is considered there.
    None,
}

/// How many experts serve a token on a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The k that the request says.
    K,
    /// One.
    One,
    /// All that are considered there.
    All,
}

const SINGLE: &str = "single:";

impl Strategy {
    /// The strategy of that name.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]
    pub fn parse(name: &str) -> Result<Strategy> {
        Ok(match (name, name.strip_prefix(SINGLE)) {
            (_, Some(id)) => Strategy::Single(id.to_owned()),
            ("phatgoose", _) => Strategy::Phatgoose,
            ("gated", _) => Strategy::Gated,
            ("none", _) => Strategy::None,
            ("merged", _) => Strategy::Merged,
            ("random", _) => Strategy::Random,
            ("average-activation", _) => Strategy::AverageActivation,
            ("arrow", _) => Strategy::Arrow,
            ("spectr", _) => Strategy::Spectr,
            ("retrieval", _) => Strategy::Retrieval,
            _ => {
                let problem = format!("{name:?} is not a strategy");
                let expected = "phatgoose, gated, none, single:<id>, merged, random, average-activation, arrow, spectr or retrieval";
                return Err(Error::new(ErrorCode::InvalidOption, "strategy", problem, expected));
            }
        })
    }

    /// Its name, as [`Strategy::parse`] reads it.
    pub fn name(&self) -> String {
        let name = match self {
            Strategy::Single(id) => return format!("{SINGLE}{id}"),
            Strategy::Phatgoose => "phatgoose",
            Strategy::Gated => "gated",
            Strategy::None => "none",
            Strategy::Merged => "merged",
            Strategy::Random => "random",
            Strategy::AverageActivation => "average-activation",
            Strategy::Arrow => "arrow",
            Strategy::Spectr => "spectr",
            Strategy::Retrieval => "retrieval",
        };
        name.to_owned()
    }

    /// What it is made of.
    pub fn definition(&self) -> Definition {
        match self {
            Strategy::Phatgoose => phatgoose::DEFINITION,
            Strategy::Gated => gated::DEFINITION,
            Strategy::None => none::DEFINITION,
            Strategy::Single(_) => single::DEFINITION,
            Strategy::Merged => merged::DEFINITION,
            Strategy::Random => random::DEFINITION,
            Strategy::AverageActivation => average_activation::DEFINITION,
            Strategy::Arrow => arrow::DEFINITION,
            Strategy::Spectr => spectr::DEFINITION,
            Strategy::Retrieval => retrieval::DEFINITION,
        }
    }
}

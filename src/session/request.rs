//! What an answer is asked for.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::Expert;
use crate::kernels::route::Thresholds;
use crate::kernels::score::LOWEST;
use crate::sampling::Sampling;
use crate::strategies::Strategy;
use crate::tokenizer::Tokenizer;

/// Most tokens that go in, and most that come out. Attention's work grows with the square.
pub const MAX_TOKENS: usize = 16_384;

/// What a step does about a page that the router chose and that is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnMiss {
    /// It waits for the page: the answer is the one that all pages resident give.
    #[default]
    Wait,
    /// It goes on with what is resident: the expert adds nothing there. The answer depends on what came when.
    Skip,
}

impl OnMiss {
    /// The way of that name.
    pub fn parse(name: &str) -> Result<OnMiss> {
        match name {
            "wait" => Ok(OnMiss::Wait),
            "skip" => Ok(OnMiss::Skip),
            _ => {
                let problem = format!("{name:?} is nothing to do on a miss");
                Err(Error::new(ErrorCode::InvalidOption, "on miss", problem, "wait or skip"))
            }
        }
    }
}

/// One line of input and how to answer it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The input as text. Either this or `input_ids`.
    pub text: Option<String>,
    /// The input as token ids, taken as they are: no end token is appended.
    pub input_ids: Option<Vec<u32>>,
    /// Most tokens to produce. Default 64.
    pub max_new_tokens: usize,
    /// Experts for each token and layer. Default: what the catalogue says, or 2.
    pub top_k: Option<usize>,
    /// How experts are chosen.
    pub strategy: Strategy,
    /// Only these experts; empty means all.
    pub include: Vec<String>,
    /// Not these experts.
    pub exclude: Vec<String>,
    /// What is added to an expert's scores, by id: above 0 it is chosen more often, below 0 less. Scores of a gate are
    /// rarely beyond ±20.
    pub bias: BTreeMap<String, f32>,
    /// Which choices are too weak to be worth their pages. Default: none.
    pub thresholds: Thresholds,
    /// What happens where a chosen expert's page is absent.
    pub on_miss: OnMiss,
    /// How tokens are drawn. Default greedy.
    pub sampling: Sampling,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Keeps the choice of experts of every token and layer.
    pub trace: bool,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            text: None,
            input_ids: None,
            max_new_tokens: 64,
            top_k: None,
            strategy: Strategy::Phatgoose,
            include: Vec::new(),
            exclude: Vec::new(),
            bias: BTreeMap::new(),
            thresholds: Thresholds::default(),
            on_miss: OnMiss::Wait,
            sampling: Sampling::default(),
            stop: Vec::new(),
            trace: false,
        }
    }
}

impl Request {
    /// Refuses what cannot be answered; returns the token ids of the input.
    pub(super) fn check(&self, config: &Config, tokenizer: Result<&Tokenizer, &Error>) -> Result<Vec<u32>> {
        let invalid = |place, problem, expected: &str| {
            Err(Error::new(ErrorCode::InvalidOption, place, problem, expected.to_owned()))
        };
        if self.top_k == Some(0) {
            return invalid(
                "top-k",
                "0 experts for each token".to_owned(),
                "at least 1; strategy none for the base alone",
            );
        }
        if self.max_new_tokens == 0 || self.max_new_tokens > MAX_TOKENS {
            let expected = format!("1 to {MAX_TOKENS}");
            return invalid("max new tokens", self.max_new_tokens.to_string(), &expected);
        }
        self.sampling.check()?;
        let Thresholds { weight, share } = self.thresholds;
        for (option, value) in [("min weight", weight), ("min share", share)] {
            if !(0.0..=1.0).contains(&value) {
                return invalid(option, value.to_string(), "0 to 1");
            }
        }
        if !self.stop.is_empty() {
            tokenizer.map_err(|error| error.clone().inside("stop"))?;
        }
        let ids = match (&self.text, &self.input_ids, tokenizer) {
            (Some(_), Some(_), _) => {
                return invalid("input", "both text and token ids".to_owned(), "one of them");
            }
            (None, None, _) => {
                return Err(Error::new(
                    ErrorCode::EmptyInput,
                    "input",
                    "neither text nor token ids",
                    "one of them",
                ));
            }
            (Some(text), None, _) if text.is_empty() => {
                return Err(Error::new(
                    ErrorCode::EmptyInput,
                    "text",
                    "it is empty",
                    "at least one character",
                ));
            }
            (Some(text), None, tokenizer) => {
                tokenizer.map_err(|error| error.clone().inside("text"))?.encode(text)?
            }
            (None, Some(ids), _) => ids.clone(),
        };
        if ids.is_empty() {
            return Err(Error::new(
                ErrorCode::EmptyInput,
                "input ids",
                "the list is empty",
                "at least one id",
            ));
        }
        if ids.len() > MAX_TOKENS {
            return invalid(
                "input",
                format!("{} tokens", ids.len()),
                &format!("at most {MAX_TOKENS} tokens"),
            );
        }
        check_ids(&ids, config, |at| format!("input token {at}"))?;
        Ok(ids)
    }

    /// By expert, what is added to its scores; [`LOWEST`] if it may not be chosen.
    pub(super) fn biases(&self, experts: &[Expert]) -> Result<Vec<f32>> {
        let biased: Vec<String> = self.bias.keys().cloned().collect();
        let single = match &self.strategy {
            Strategy::Single(id) => vec![id.clone()],
            _ => Vec::new(),
        };
        let options = [
            ("include", &self.include),
            ("exclude", &self.exclude),
            ("bias", &biased),
            ("strategy", &single),
        ];
        for (option, ids) in options {
            if let Some(id) = ids.iter().find(|id| !experts.iter().any(|expert| expert.is_called(id))) {
                let known: Vec<&str> = experts.iter().map(|expert| expert.id.as_str()).collect();
                let expected = format!("one of: {}", known.join(", "));
                let problem = format!("there is no expert {id:?}");
                return Err(Error::new(ErrorCode::UnknownExpert, option, problem, expected));
            }
        }
        let among = |ids: &[String], expert: &Expert| ids.iter().any(|id| expert.is_called(id));
        if let Some((id, bias)) = self.bias.iter().find(|(_, bias)| !(-1e6..=1e6).contains(*bias)) {
            let problem = format!("{bias} for {id:?}");
            return Err(Error::new(ErrorCode::InvalidOption, "bias", problem, "-1e6 to 1e6"));
        }
        let bias = |expert: &Expert| {
            let only = |ids: &[String]| ids.is_empty() || among(ids, expert);
            if among(&self.exclude, expert) || !only(&self.include) || !only(&single) {
                return LOWEST;
            }
            self.bias.iter().find(|(id, _)| expert.is_called(id)).map_or(0.0, |(_, bias)| *bias)
        };
        let biases: Vec<f32> = experts.iter().map(bias).collect();
        if !single.is_empty() && biases.iter().all(|bias| *bias == LOWEST) {
            let (problem, expected) = ("the expert is excluded", "one that may be chosen");
            return Err(Error::new(ErrorCode::InvalidOption, self.strategy.name(), problem, expected));
        }
        Ok(biases)
    }
}

/// An error if one of the ids is none of the vocabulary's. `place` names the one at an index.
pub(super) fn check_ids(ids: &[u32], config: &Config, place: impl Fn(usize) -> String) -> Result<()> {
    let vocabulary = config.vocab_size;
    match ids.iter().position(|id| *id as usize >= vocabulary) {
        None => Ok(()),
        Some(at) => {
            let expected = format!("ids below {vocabulary}, the size of the vocabulary");
            Err(Error::new(ErrorCode::TokenOutOfRange, place(at), format!("id {}", ids[at]), expected))
        }
    }
}

//! What an answer is asked for.

use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::Expert;
use crate::sampling::Sampling;
use crate::tokenizer::Tokenizer;

/// Most tokens that go in, and most that come out. Attention's work grows with the square.
pub const MAX_TOKENS: usize = 16_384;

/// How experts are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// By gate, for every token and layer.
    Phatgoose,
    /// None: the base alone.
    None,
}

impl Strategy {
    /// The strategy of that name.
    pub fn parse(name: &str) -> Result<Strategy> {
        match name {
            "phatgoose" => Ok(Strategy::Phatgoose),
            "none" => Ok(Strategy::None),
            _ => {
                let problem = format!("{name:?} is not a strategy");
                Err(Error::new(ErrorCode::InvalidOption, "strategy", problem, "phatgoose or none"))
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
        if !self.stop.is_empty() {
            tokenizer.map_err(|error| error.clone().inside("stop strings"))?;
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
        if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= config.vocab_size) {
            let expected = format!("ids below {}, the size of the vocabulary", config.vocab_size);
            let place = format!("input token {at}");
            return Err(Error::new(ErrorCode::TokenOutOfRange, place, format!("id {id}"), expected));
        }
        Ok(ids)
    }

    /// By expert, 1 if it may be chosen, else 0.
    pub(super) fn allowed(&self, experts: &[Expert]) -> Result<Vec<u32>> {
        for (option, ids) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Some(id) = ids.iter().find(|id| !experts.iter().any(|expert| expert.is_called(id))) {
                let known: Vec<&str> = experts.iter().map(|expert| expert.id.as_str()).collect();
                let expected = format!("one of: {}", known.join(", "));
                let problem = format!("there is no expert {id:?}");
                return Err(Error::new(ErrorCode::UnknownExpert, option, problem, expected));
            }
        }
        let among = |ids: &[String], expert: &Expert| ids.iter().any(|id| expert.is_called(id));
        let may = |expert: &Expert| {
            (self.include.is_empty() || among(&self.include, expert)) && !among(&self.exclude, expert)
        };
        Ok(experts.iter().map(|expert| may(expert) as u32).collect())
    }
}

//! Rank classification: how likely each of some given answers is. The encoder runs once for all of them.

use super::request::check_ids;
use super::{Generation, Request, Run, Session, check_finite, now};
use crate::device::Part;
use crate::error::{Error, ErrorCode, Result};
use crate::recording::Control;
use crate::sampling::Sampling;

/// What scoring came to.
#[derive(Debug, Clone, PartialEq)]
pub enum ScoreStep {
    /// These pages are wanted and absent. Provide them and go on.
    Missing(Vec<u32>),
    /// One more token has its likelihood.
    Token,
    /// A choice is complete: the next in the order in which they were given.
    Scored(Scored),
    /// All choices are scored.
    Done,
}

/// The likelihood of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Its tokens, with the end token if it has one.
    pub ids: Vec<u32>,
    /// For each of them, `ln p(token | input, tokens before)`.
    pub log_likelihoods: Vec<f64>,
}

impl Scored {
    /// `ln p(answer | input)`.
    pub fn log_likelihood(&self) -> f64 {
        self.log_likelihoods.iter().sum()
    }

    /// Its mean over the tokens: what choices of different lengths are ranked by, as in the evaluation of PHATGOOSE
    /// (`mc_byppl` in r-three/phatgoose).
    pub fn per_token(&self) -> f64 {
        self.log_likelihood() / self.log_likelihoods.len() as f64
    }
}

/// The choices, and how far their scoring is.
pub(super) struct Scoring {
    choices: Vec<Vec<u32>>,
    /// The choice being scored.
    choice: usize,
    log_likelihoods: Vec<f64>,
}

impl Session {
    /// The tokens of an answer given as text, end token included.
    ///
    /// # Errors
    /// [`ErrorCode::NoTokenizer`], and those of [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode).
    pub fn choice_ids(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer().map_err(|error| error.clone().inside("choice"))?.encode(text)
    }

    /// Begins to score `choices`, each of them tokens, as answers to the input of `request`. Its sampling, its stop strings
    /// and its number of new tokens do not matter. An answer that was in the making is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::EmptyInput`] without choices, or for one without tokens; [`ErrorCode::TokenOutOfRange`]; those of
    /// [`Session::start`].
    pub fn start_scoring(&mut self, request: Request, choices: Vec<Vec<u32>>) -> Result<()> {
        self.cancel();
        let longest = choices.iter().map(Vec::len).max().unwrap_or(0);
        if longest == 0 || choices.iter().any(Vec::is_empty) {
            let problem = if choices.is_empty() { "there are none" } else { "one of them is empty" };
            let expected = "at least one choice of at least one token";
            return Err(Error::new(ErrorCode::EmptyInput, "choices", problem, expected));
        }
        for (choice, ids) in choices.iter().enumerate() {
            check_ids(ids, &self.model.config, |_| format!("choice {choice}"))?;
        }
        let stop = Vec::new();
        self.start(Request { max_new_tokens: longest, sampling: Sampling::default(), stop, ..request })?;
        if let Some(generation) = &mut self.generation {
            generation.scoring = Some(Scoring { choices, choice: 0, log_likelihoods: Vec::new() });
        }
        Ok(())
    }

    /// Goes on with the scoring by one token. For a device that answers at once; see [`Session::next_score`].
    ///
    /// # Errors
    /// Those of [`Session::next_score`].
    pub fn score(&mut self) -> Result<ScoreStep> {
        now(self.next_score())
    }

    /// Goes on with the scoring by one token, as far as the resident pages allow.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidState`] before [`Session::start_scoring`]; else those of [`Session::next_step`].
    pub async fn next_score(&mut self) -> Result<ScoreStep> {
        let generation = self.generation.take_if(|generation| generation.scoring.is_some());
        let Some(mut generation) = generation else {
            let problem = "no scoring was started";
            return Err(Error::new(ErrorCode::InvalidState, "score", problem, "start_scoring first"));
        };
        let step = self.advance_scoring(&mut generation).await;
        self.keep(generation, step)
    }

    async fn advance_scoring(&mut self, generation: &mut Generation) -> Result<ScoreStep> {
        let missing = self.encode(generation).await?;
        if !missing.is_empty() {
            return Ok(ScoreStep::Missing(missing));
        }
        let Some(mut scoring) = generation.scoring.take() else { unreachable!("the caller looked") };
        let step = self.score_token(generation, &mut scoring).await;
        generation.scoring = Some(scoring);
        step
    }

    /// The likelihood of the next token of a choice, the tokens before it given.
    async fn score_token(&mut self, generation: &mut Generation, scoring: &mut Scoring) -> Result<ScoreStep> {
        let Some(ids) = scoring.choices.get(scoring.choice) else { return Ok(ScoreStep::Done) };
        let position = scoring.log_likelihoods.len();
        let token = match position {
            0 => self.model.config.decoder_start_token_id,
            position => ids[position - 1],
        };
        let Generation { writing, decoder, biases, wishes, work, .. } = generation;
        let routes = &decoder.1;
        let at = position as u32;
        let control = Control { position: at, first: at, token, ..Control::default() };
        self.run_from(Part::Decoder, decoder, biases, control, Run::LeavingLogits).await?;
        work.passes += 1;
        let tensors = [writing.activations.control, routes.flags.tensor, writing.logits];
        let read = self.devices.of(Part::Decoder).read_words(&tensors).await?;
        let control: Control = bytemuck::cast_slice(&read[0])[0];
        check_finite(control, || format!("token {position} of choice {}", scoring.choice))?;
        let missing = self.harvest(Part::Decoder, routes, wishes, work, &read[1], control)?;
        if !missing.is_empty() {
            return Ok(ScoreStep::Missing(missing));
        }
        let logits: &[f32] = bytemuck::cast_slice(&read[2]);
        scoring.log_likelihoods.push(log_probability(logits, ids[position] as usize));
        if scoring.log_likelihoods.len() < ids.len() {
            return Ok(ScoreStep::Token);
        }
        let scored =
            Scored { ids: ids.clone(), log_likelihoods: std::mem::take(&mut scoring.log_likelihoods) };
        scoring.choice += 1;
        Ok(ScoreStep::Scored(scored))
    }
}

/// `ln softmax(logits)[token]`
fn log_probability(logits: &[f32], token: usize) -> f64 {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum();
    f64::from(logits[token]) - highest - sum.ln()
}

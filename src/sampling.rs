//! From logits to the next token: greedy, or drawn at random.

use crate::error::{Error, ErrorCode, Result};
use crate::kernels::attention::softmax;

/// How the next token is drawn. The rules apply in the order of the fields, as transformers applies them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits of tokens already produced (multiplies negative ones); 1 does nothing.
    pub repetition_penalty: f32,
    /// Divides all logits. 0 means greedy: the most likely token, always.
    pub temperature: f32,
    /// Only the most likely `top_k` tokens are drawn from; 0 means all.
    pub top_k: usize,
    /// Only the fewest most likely tokens whose probabilities add up to `top_p` are drawn from; 1 means all.
    pub top_p: f32,
    /// Seed of the random numbers: the same seed draws the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Whether the most likely token of the bare logits is always taken.
    pub fn is_argmax(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }

    /// Refuses values outside their range.
    pub fn check(&self) -> Result<()> {
        let check = |name: &str, value: f32, good: bool, range: &str| match good {
            true => Ok(()),
            false => Err(Error::new(ErrorCode::InvalidOption, name, format!("{value}"), range)),
        };
        let Sampling { repetition_penalty, temperature, top_p, .. } = *self;
        let positive = repetition_penalty.is_finite() && repetition_penalty > 0.0;
        check("repetition penalty", repetition_penalty, positive, "a number above 0")?;
        check("temperature", temperature, temperature.is_finite() && temperature >= 0.0, "a number from 0")?;
        check("top-p", top_p, top_p > 0.0 && top_p <= 1.0, "a number above 0 and up to 1")
    }
}

/// Draws tokens.
pub struct Sampler {
    rules: Sampling,
    random: fastrand::Rng,
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler at the start of its random numbers.
    pub fn new(rules: Sampling) -> Self {
        let random = fastrand::Rng::with_seed(rules.seed);
        Sampler { rules, random, candidates: Vec::new() }
    }

    /// The next token after `previous`, which are the decoder's inputs so far. `logits`: one for each token id.
    pub fn draw(&mut self, logits: &mut [f32], previous: &[u32]) -> u32 {
        let Sampling { repetition_penalty, temperature, top_k, top_p, .. } = self.rules;
        penalise(logits, previous, repetition_penalty);
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(logits.iter().enumerate().map(|(id, logit)| (id as u32, *logit)));
        // Stable: among equals the lower id comes first.
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        if temperature == 0.0 {
            return candidates[0].0;
        }
        if top_k > 0 {
            candidates.truncate(top_k);
        }
        let mut probabilities: Vec<f32> = candidates.iter().map(|(_, logit)| logit / temperature).collect();
        softmax(&mut probabilities);
        let mut kept = probabilities.len();
        if top_p < 1.0 {
            // The token that crosses the threshold is the last one kept.
            let mass = probabilities.iter().scan(0.0, |mass, probability| {
                *mass += probability;
                Some(*mass)
            });
            kept = mass.take_while(|mass| *mass < top_p).count() + 1;
        }
        let probabilities = &probabilities[..kept.min(probabilities.len())];
        let mut point = self.random.f32() * probabilities.iter().sum::<f32>();
        for (probability, (id, _)) in probabilities.iter().zip(candidates.iter()) {
            point -= probability;
            if point < 0.0 {
                return *id;
            }
        }
        candidates[probabilities.len() - 1].0
    }
}

/// Makes tokens that were already produced less likely (Keskar et al. 2019, CTRL, section 4.1).
fn penalise(logits: &mut [f32], previous: &[u32], penalty: f32) {
    let mut seen: Vec<u32> = previous.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        let logit = &mut logits[id as usize];
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(rules: Sampling, count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(rules);
        (0..count).map(|_| sampler.draw(&mut [0.0, 1.0, 2.0, 3.0], &[])).collect()
    }

    #[test]
    fn temperature_zero_takes_the_most_likely_and_the_lowest_of_equals() {
        let mut sampler = Sampler::new(Sampling::default());
        assert_eq!(sampler.draw(&mut [1.0, 3.0, 3.0, 2.0], &[]), 1);
    }

    #[test]
    fn a_seed_draws_the_same_tokens_and_another_draws_others() {
        let rules = Sampling { temperature: 1.0, ..Sampling::default() };
        assert_eq!(draws(rules.clone(), 50), draws(rules.clone(), 50));
        assert_ne!(draws(rules.clone(), 50), draws(Sampling { seed: 1, ..rules }, 50));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let tokens = draws(Sampling { temperature: 1.0, ..Sampling::default() }, 20_000);
        for (id, probability) in [0.0321, 0.0871, 0.2369, 0.6439].into_iter().enumerate() {
            let share = tokens.iter().filter(|token| **token == id as u32).count() as f64 / 20_000.0;
            // Four standard deviations of a binomial of 20,000 draws are at most 0.0136.
            assert!((share - probability).abs() < 0.014, "token {id}: {share}, probability {probability}");
        }
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let hot = Sampling { temperature: 5.0, ..Sampling::default() };
        assert!(draws(Sampling { top_k: 2, ..hot.clone() }, 500).iter().all(|token| *token >= 2));
        // At temperature 1 the two best have 0.64 and 0.24: together just above 0.7.
        let nucleus = draws(Sampling { temperature: 1.0, top_p: 0.7, ..Sampling::default() }, 500);
        assert!(nucleus.iter().all(|token| *token >= 2) && nucleus.contains(&2));
    }

    #[test]
    fn the_penalty_lowers_what_was_produced_whatever_its_sign() {
        let mut logits = [2.0, -1.0, 1.0];
        penalise(&mut logits, &[0, 1, 0], 2.0);
        assert_eq!(logits, [1.0, -2.0, 1.0]);
    }

    #[test]
    fn values_out_of_range_are_named() {
        let bad = Sampling { top_p: 0.0, ..Sampling::default() };
        assert_eq!(bad.check().unwrap_err().code, ErrorCode::InvalidOption);
        let bad = Sampling { temperature: f32::NAN, ..Sampling::default() };
        assert_eq!(bad.check().unwrap_err().place, "temperature");
    }
}

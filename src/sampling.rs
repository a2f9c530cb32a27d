//! The rules by which the next token is drawn. [`next_token`](crate::kernels::next_token) follows them.

use crate::error::{Error, ErrorCode, Result};

/// How the next token is drawn. The rules apply in the order of the fields, as transformers applies them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits of tokens already produced (multiplies negative ones); 1 does nothing.
    pub repetition_penalty: f32,
    /// Divides all logits. 0 means greedy: the most likely token, always.
    pub temperature: f32,
    /// Only the most likely `top_k` tokens, and those as likely as the last of them, are drawn from; 0 means all.
    pub top_k: usize,
    /// Only the fewest most likely tokens whose probabilities add up to `top_p`, and those as likely as the last of
    /// them, are drawn from; 1 means all.
    pub top_p: f32,
    /// Seed of the random numbers: on one device, the same seed draws the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let bad = Sampling { top_p: 0.0, ..Sampling::default() };
        assert_eq!(bad.check().unwrap_err().code, ErrorCode::InvalidOption);
        let bad = Sampling { temperature: f32::NAN, ..Sampling::default() };
        assert_eq!(bad.check().unwrap_err().place, "temperature");
    }
}

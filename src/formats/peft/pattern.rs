//! `rank_pattern` and `alpha_pattern`: numbers for the modules whose names match a regular expression.

use std::fmt;

use regex_lite::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::{Error, ErrorCode, Result};

/// Patterns with their numbers, in the file's order.
#[derive(Debug, Default, PartialEq)]
pub struct Patterns(Vec<(String, f64)>);

impl Patterns {
    /// The number of the first pattern that matches `module`, a name such as `encoder.block.0.layer.0.SelfAttention.q`.
    ///
    /// A pattern matches a whole name or its end after a dot: PEFT tries `re.match(rf"(.*\.)?({key})$", module)`
    /// (`get_pattern_key` in `peft/utils/other.py`, version 0.21). Dots are therefore any character unless escaped.
    /// Expressions that only Python understands (look-around, back references) are refused.
    pub fn find(&self, module: &str) -> Result<Option<f64>> {
        for (pattern, number) in &self.0 {
            let anchored = format!(r"^(?:(.*\.)?({pattern})$)");
            let regex = Regex::new(&anchored).map_err(|error| {
                Error::new(
                    ErrorCode::Unsupported,
                    pattern.clone(),
                    error.to_string(),
                    "a regular expression that the regex-lite crate understands",
                )
            })?;
            if regex.is_match(module) {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Patterns, M::Error> {
                let mut patterns: Vec<(String, f64)> = Vec::new();
                while let Some((pattern, number)) = map.next_entry()? {
                    // A repeated key keeps its first place and takes its last value, as in a Python dict.
                    match patterns.iter_mut().find(|(earlier, _)| *earlier == pattern) {
                        Some((_, earlier)) => *earlier = number,
                        None => patterns.push((pattern, number)),
                    }
                }
                Ok(Patterns(patterns))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

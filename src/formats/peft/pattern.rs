//! `rank_pattern` and `alpha_pattern`: numbers for the modules whose names match a regular expression.

use std::fmt;

use regex_lite::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::{Error, ErrorCode, Result};

/// More than any T5 has linear layers that an adapter would single out. Each is tried on each module.
const MOST_PATTERNS: usize = 1024;

/// Patterns with their numbers, in the file's order.
#[derive(Debug, Default)]
pub struct Patterns(Vec<(Regex, f64)>);

impl Patterns {
    /// Compiles the patterns of a file.
    ///
    /// A pattern matches a whole name or its end after a dot: PEFT tries `re.match(rf"(.*\.)?({key})$", module)`
    /// (`get_pattern_key` in `peft/utils/other.py`, version 0.21). Dots are therefore any character unless escaped.
    /// Expressions that only Python understands (look-around, back references) are refused.
    pub fn compile(written: Written) -> Result<Patterns> {
        if written.0.len() > MOST_PATTERNS {
            return Err(Error::new(
                ErrorCode::InvalidFile,
                "patterns",
                format!("are {}", written.0.len()),
                format!("at most {MOST_PATTERNS}"),
            ));
        }
        let compiled = written.0.into_iter().map(|(pattern, number)| {
            let anchored = format!(r"^(?:(.*\.)?({pattern})$)");
            let regex = Regex::new(&anchored).map_err(|error| {
                Error::new(
                    ErrorCode::Unsupported,
                    pattern,
                    error.to_string(),
                    "a regular expression that the regex-lite crate understands",
                )
            })?;
            Ok((regex, number))
        });
        Ok(Patterns(compiled.collect::<Result<_>>()?))
    }

    /// The number of the first pattern that matches `module`, a name such as `encoder.block.0.layer.0.SelfAttention.q`.
    pub fn find(&self, module: &str) -> Option<f64> {
        self.0.iter().find(|(regex, _)| regex.is_match(module)).map(|(_, number)| *number)
    }
}

/// The patterns as the file has them.
#[derive(Debug, Default)]
pub struct Written(Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Written, M::Error> {
                let mut patterns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    patterns.push(entry);
                }
                Ok(Written(patterns))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

//! `random`: k experts by lot, anew for every token and layer, each with the weight 1/k. What routing has to beat to be
//! more than an ensemble.
//!
//! ```text
//! score_z = hash(seed, layer, token, z) in [0, 1)         T = the k best         w = 1/k
//! ```
//!
//! The seed is the request's. The hash has no state, so a step that is repeated draws the same again, on every device.

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::None, rule: Rule::Noise, count: Count::K, opens: false };

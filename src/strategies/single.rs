//! `single:<id>`: one expert, for every token, on every layer that it adapts, whether it has a gate there or not.
//!
//! ```text
//! y = W u + s_z B_z A_z u
//! ```
//!
//! The best of these for a whole set of inputs is what the paper calls "Best Individual", and, where the set is one task, its
//! "Oracle".

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::None, rule: Rule::Equal, count: Count::One, opens: false };

//! `merged`: the mean of the outputs of all experts that adapt the layer.
//!
//! ```text
//! y = W u + 1/n Σ_z s_z B_z A_z u
//! ```
//!
//! That is the mean of the products B A, as the paper's "Merged Experts" has it (section 4.2). Its code averages A and B
//! apart (`average_lora_weights` in r-three/phatgoose), which mixes one expert's B with another's A. Where experts adapt
//! different layers, n is the number of those that adapt this one. A bias b weighs an expert by e^b.

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::None, rule: Rule::Equal, count: Count::All, opens: false };

//! `phatgoose`: by trained gates v, for every token and layer.
//!
//! ```text
//! score_z = LN(u) · LN(v_z) / sqrt(d_in)         T = the k best         w = softmax of the scores over T
//! y       = W u + Σ_{z∈T} w_z s_z B_z A_z u
//! ```
//!
//! Source: Muqeeth, Liu, Liu, Raffel, "Learning to Route Among Specialized Experts for Zero-Shot Generalization", ICML 2024,
//! section 3; `Router._forward` of r-three/phatgoose. All of it is in [`route`](crate::kernels::route).

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::Gates, rule: Rule::Normalised, count: Count::K, opens: false };

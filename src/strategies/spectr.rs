//! `spectr`: by how long the expert's own output is, for every token and layer. It needs nothing but the experts.
//!
//! ```text
//! score_z = ‖B_z A_z u‖         T = the k best         w = softmax of the scores over T
//! ```
//!
//! Source: Fleshman, Van Durme, "SpectR: Dynamically Composing LM Experts with Spectral Routing", arXiv 2504.03454. With
//! `B A = U S Vᵀ` the paper keeps `S Vᵀ` for A and takes `‖S Vᵀ u‖`, which is the same number. Here adapters stay as they
//! are, so B is multiplied too: all experts are computed, their scale left out, and k of them are used. Every layer therefore
//! wants the pages of all experts: it is for comparison, not for streaming, and for the CPU.

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::None, rule: Rule::Length, count: Count::K, opens: false };

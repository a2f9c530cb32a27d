//! `gated`: chosen and weighted as by `phatgoose`, and each chosen expert as open as its gate was trained to be.
//!
//! ```text
//! score_z = LN(u) · LN(v_z) / sqrt(d_in)         T = the k best         w = softmax of the scores over T
//! y       = W u + Σ_{z∈T} w_z sigmoid(v_z · u) s_z B_z A_z u
//! ```
//!
//! u is raw, and v the gate as it was trained, not normalised. The sigmoid is the gate's form in training (section 3 of the
//! PHATGOOSE paper; `use_input_gate` in `moe.py` of r-three/phatgoose), which its inference leaves out: some k experts are
//! always the best, however little they fit, and share all of the weight. Here one that was taken for lack of a better stays
//! quiet. The weights that are reported are those that are applied, `w_z sigmoid(v_z · u)`.

use super::{Definition, phatgoose};

/// What it is made of.
pub const DEFINITION: Definition = Definition { opens: true, ..phatgoose::DEFINITION };

//! `average-activation`: the rule of `phatgoose`, and in the place of the trained gate v the mean of the layer's input u over
//! the expert's own training examples, the expert active on every layer. It needs examples, and no training.
//!
//! ```text
//! v_z = mean of u over all tokens of the examples (of the decoder: of their targets, given token by token)
//! ```
//!
//! Source: "Average Activation" of the PHATGOOSE paper, section 4.2; `SaveAveragedHiddens` of r-three/phatgoose, over 1000
//! examples. The vectors are made by `gander catalog vectors`.

use super::{Definition, Vectors, phatgoose};

/// What it is made of.
pub const DEFINITION: Definition = Definition { vectors: Vectors::Means, ..phatgoose::DEFINITION };

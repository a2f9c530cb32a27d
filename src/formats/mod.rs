//! The ecosystem's file formats, checked once at the boundary: Hugging Face folders, GGUF, PEFT adapters.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::quant::Matrix;

/// A base model as its files describe it, whatever files those were.
pub struct Checkpoint {
    /// The shape.
    pub config: Config,
    /// Every weight under its Hugging Face name (`encoder.block.0.layer.0.SelfAttention.q.weight`). A vector, such
    /// as a norm's weight, is a matrix of one row. `shared.weight` is always there; `lm_head.weight` only where the
    /// head is a matrix of its own.
    pub tensors: BTreeMap<String, Matrix>,
}

//! What kernels on the CPU work in, kept from one dispatch to the next: no memory is allocated while tokens are made.

use crate::panels::{Activations, Processor};

/// Memory without a meaning between dispatches, and the processor to compute with.
pub struct Scratch {
    /// How products of panels are computed.
    pub processor: Processor,
    /// The input u of a product.
    pub input: Vec<f32>,
    /// The same, rounded.
    pub activations: Activations,
    /// Other floats: a row of a weight, the scores of attention, logits.
    pub floats: Vec<f32>,
    /// More of them.
    pub sorted: Vec<f32>,
    /// The best experts so far, best first: the gate's row and its score.
    pub ranking: Vec<(u32, f32)>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            processor: Processor::best(),
            input: Vec::new(),
            activations: Activations::default(),
            floats: Vec::new(),
            sorted: Vec::new(),
            ranking: Vec::new(),
        }
    }
}

//! What kernels on the CPU work in, kept from one dispatch to the next: no memory is allocated while tokens are made.

use crate::panels::Activations;
use crate::processor::Processor;
use crate::threads::Team;

/// Memory without a meaning between dispatches, and the processor and the threads to compute with.
pub struct Scratch {
    /// How products of panels are computed.
    pub processor: Processor,
    /// Threads that share the work, where there are several.
    pub team: Option<Team>,
    /// The input u of a product.
    pub input: Vec<f32>,
    /// The same, rounded.
    pub activations: Activations,
    /// What an expert's A made of it, rounded.
    pub projected_activations: Activations,
    /// A panel of a weight.
    pub panel: Vec<u8>,
    /// Other floats: a row of a weight, the scores of attention, some logits.
    pub floats: Vec<f32>,
    /// More of them.
    pub sorted: Vec<f32>,
    /// Products of tokens and gates.
    pub products: Vec<f32>,
    /// By row of the gates, what is added to its score.
    pub row_biases: Vec<f32>,
    /// Rows of the gates that may be chosen, and their scores.
    pub scored: Vec<(u32, f32)>,
    /// The best experts so far, best first: the gate's row and its score.
    pub ranking: Vec<(u32, f32)>,
    /// What the routing of some tokens tells.
    pub routed: Routed,
    /// Logits on their way.
    pub logits: Vec<f32>,
    /// What is left of those that went by.
    pub choice: Choice,
    /// Work with the factors of experts, sorted by where they are: a factor is read once for all tokens that want it.
    pub order: Vec<FactorUse>,
}

/// What routing tells, beside what it leaves for the linear layers.
#[derive(Debug, Default)]
pub struct Routed {
    /// The first of the tokens.
    pub first_token: usize,
    /// Token by token and site by site, as [`Choices`](crate::kernels::route::Choices) has them.
    pub choices: Vec<u32>,
    /// Pages, some of them more than once.
    pub wanted: Vec<u32>,
    /// Whether one of them is absent.
    pub missed: bool,
}

impl Routed {
    /// Of no token so far.
    pub fn clear(&mut self) {
        self.choices.clear();
        self.wanted.clear();
        self.missed = false;
    }
}

/// What is left of logits that went by.
#[derive(Debug, Default)]
pub struct Choice {
    /// The first of the greatest, and its value.
    pub best: (u32, f32),
    /// Whether all were numbers.
    pub are_finite: bool,
    /// Where more than the best count: those that may, in the order of their ids.
    pub candidates: Vec<(u32, f32)>,
    /// What is less is no candidate any more.
    pub least: f32,
}

/// One token that wants one factor, A or B, of an expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorUse {
    /// Where the factor begins in the pool, in floats.
    pub factor: u32,
    /// The token.
    pub token: u32,
    /// For which of its slots, over all sites.
    pub slot: u32,
    /// The bits of the float that the product is multiplied with.
    pub scale: u32,
}

impl FactorUse {
    /// What they are sorted by: no token wants a factor twice. One number, since a module would have a sort of its own for more.
    pub fn key(&self) -> u64 {
        u64::from(self.factor) << 32 | u64::from(self.token)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            processor: Processor::best(),
            team: None,
            input: Vec::new(),
            activations: Activations::default(),
            projected_activations: Activations::default(),
            panel: Vec::new(),
            floats: Vec::new(),
            sorted: Vec::new(),
            products: Vec::new(),
            row_biases: Vec::new(),
            scored: Vec::new(),
            ranking: Vec::new(),
            routed: Routed::default(),
            logits: Vec::new(),
            choice: Choice::default(),
            order: Vec::new(),
        }
    }
}

//! Where PHATGOOSE meets T5: a linear layer with a router before it and experts beside it.

use crate::device::Device;
use crate::kernels::lora::{self, Pool};
use crate::kernels::matmul::{self, Output, Weight};
use crate::kernels::route::{self, Entry, LAYER_NORM_EPSILON, Routing};
use crate::recording::Recording;
use crate::tensor::{BufferId, DType, Tensor};

/// A linear layer of a T5 block: the frozen weight, and the experts that adapt it.
pub struct RoutedLinear {
    /// Its Hugging Face name: `encoder.block.0.layer.0.SelfAttention.q`.
    pub module: String,
    /// W (d_out, d_in).
    pub weight: Weight,
    /// The gates of the experts here, if any expert adapts this layer.
    pub router: Option<Router>,
}

impl RoutedLinear {
    /// Appends `y = W u + Σ_z w_z s_z B_z A_z u` (or `y += …`), experts and weights chosen for every token.
    ///
    /// * `u`: (tokens, d_in), the layer's input, raw
    /// * `y`: (tokens, d_out)
    pub fn record(
        &self,
        recording: &mut Recording,
        u: Tensor,
        output: Output,
        y: Tensor,
        routes: &mut Routes,
    ) {
        matmul::record(recording, u, &self.weight, 1.0, output, y);
        if let Some(router) = &self.router
            && let Some(routing) = routes.reserve(&self.module, router, u.rows)
        {
            let Router { gates, table, .. } = *router;
            route::record(recording, u, gates, table, routes.allowed, routing, routes.wanted);
            lora::record(recording, u, routing, table, routes.pool, y);
        }
    }
}

/// The gates of one linear layer, and where the LoRA of each of its experts is.
pub struct Router {
    /// (experts here, d_in): `LN(v_z) / sqrt(d_in)`.
    gates: Tensor,
    /// (experts here, [`Entry::WORDS`]).
    table: Tensor,
    /// Which expert each row is, among all that are loaded; ascending.
    pub experts: Vec<u32>,
}

impl Router {
    /// A router over the given experts, in the order of their indices: each with its raw gate vector (d_in).
    pub fn upload(device: &mut Device, experts: &[(Entry, &[f32])]) -> Router {
        let d_in = experts[0].1.len();
        let gates: Vec<f32> = experts.iter().flat_map(|(_, gate)| normalise_gate(gate)).collect();
        let entries: Vec<Entry> = experts.iter().map(|(entry, _)| *entry).collect();
        Router {
            gates: device.upload(experts.len(), d_in, DType::F32, &gates),
            table: device.upload(experts.len(), Entry::WORDS, DType::U32, &entries),
            experts: entries.iter().map(|entry| entry.expert).collect(),
        }
    }

    /// The device memory that this router occupies.
    pub fn buffers(&self) -> [BufferId; 2] {
        [self.gates.buffer, self.table.buffer]
    }
}

/// `LN(v) / sqrt(d)`. The norm of the gate and its mean are discarded, as the method says; the epsilon matters where
/// the gate has hardly moved from zero.
pub fn normalise_gate(gate: &[f32]) -> Vec<f32> {
    let d = gate.len() as f64;
    let mean = gate.iter().map(|v| *v as f64).sum::<f64>() / d;
    let variance = gate.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / d;
    let scale = 1.0 / ((variance + LAYER_NORM_EPSILON as f64).sqrt() * d.sqrt());
    gate.iter().map(|v| ((*v as f64 - mean) * scale) as f32).collect()
}

/// One routed layer of a recording, and which rows of the routing tensors are its own.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedSite {
    /// The layer's Hugging Face name.
    pub module: String,
    /// Which expert each row of the layer's table is.
    pub experts: Vec<u32>,
    /// First row in the routing tensors.
    pub first_row: usize,
    /// Tokens routed here.
    pub tokens: usize,
}

/// What all routed layers of a recording share: the experts allowed, the adapters' memory, and where choices go.
pub struct Routes {
    /// (1, experts) of `u32`.
    pub allowed: Tensor,
    /// (1, pages) of `u32`.
    pub wanted: Tensor,
    /// The adapters.
    pub pool: Pool,
    /// The choices of all layers, or, untraced, of one layer at a time.
    pub routing: Routing,
    /// Where traced, the layers routed so far, in order.
    pub sites: Vec<RoutedSite>,
    /// Keeps every layer's choices, so that they can be read after the pass.
    pub trace: bool,
    /// Routes at all. Without, the base alone computes.
    pub enabled: bool,
}

impl Routes {
    /// The device memory that belongs to this recording alone.
    pub fn buffers(&self) -> [BufferId; 4] {
        [self.allowed, self.wanted, self.routing.choices, self.routing.weights].map(|tensor| tensor.buffer)
    }

    /// Rows for the routing of `tokens` tokens on one layer; none where routing is off.
    fn reserve(&mut self, module: &str, router: &Router, tokens: usize) -> Option<Routing> {
        if !self.enabled {
            return None;
        }
        let mut first_row = 0;
        if self.trace {
            first_row = self.sites.last().map_or(0, |site| site.first_row + site.tokens);
            let (module, experts) = (module.to_owned(), router.experts.clone());
            self.sites.push(RoutedSite { module, experts, first_row, tokens });
        }
        Some(Routing {
            choices: self.routing.choices.slice_rows(first_row, tokens),
            weights: self.routing.weights.slice_rows(first_row, tokens),
        })
    }
}

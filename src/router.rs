//! Where PHATGOOSE meets T5: linear layers with a router before them and experts beside them.

use crate::device::{Device, WeightLayout};
use crate::kernels::gates;
use crate::kernels::input::Input;
use crate::kernels::linear::{self, Output, TILED_FROM};
use crate::kernels::route::{self, Choices, Deltas, Entry, Flags, Gates, LAYER_NORM_EPSILON, Thresholds};
use crate::kernels::score::{self, Rule};
use crate::kernels::weight::Weight;
use crate::quant::BLOCK;
use crate::recording::Recording;
use crate::tensor::{BufferId, DType, Tensor};

/// Linear layers of a T5 that share an input: q, k and v; wi_0 and wi_1; the keys and values of all cross-attention.
/// Each is frozen, is routed by itself, and has experts of its own.
pub struct RoutedLinears {
    /// Their Hugging Face names: `encoder.block.0.layer.0.SelfAttention.q`, …
    pub modules: Vec<String>,
    /// Their weights W (d_out, d_in), one after another, all of the same height.
    pub weight: Weight,
    /// The gates of the experts here, if any expert adapts one of these layers.
    pub router: Option<Router>,
}

impl RoutedLinears {
    /// Appends `y = W u + Σ_z w_z s_z B_z A_z u` (or `y += …`), experts and weights chosen for every token and layer.
    ///
    /// * `input`: u (tokens, d_in), the layers' input, raw
    /// * `y`: (tokens, Σ d_out)
    pub fn record(
        &self,
        recording: &mut Recording,
        input: Input,
        output: Output,
        y: Tensor,
        routes: &mut Routes,
    ) {
        let control = routes.control;
        let mut deltas = None;
        if let Some(router) = self.router.as_ref().filter(|_| routes.enabled) {
            let (choices, found) = routes.reserve(self, router, input.tokens());
            let Routes { flags, thresholds, .. } = *routes;
            let pool = router.pool;
            let key = self.key(router.gates.rule, routes.seed);
            let gates = &Gates { key, opens: routes.opens, ..router.gates };
            let scored = input.tokens() >= TILED_FROM && gates.rule.has_vectors();
            if scored {
                score::record(recording, control, input, gates, flags, found);
            }
            route::record(recording, control, input, gates, pool, flags, choices, thresholds, found, scored);
            deltas = Some((found, pool));
        }
        linear::record(recording, control, input, &self.weight, 1.0, deltas, output, y);
    }

    /// Takes the router away, and gives its memory back.
    pub fn free_router(&mut self, device: &mut Device) {
        self.router.take().iter().flat_map(Router::buffers).for_each(|buffer| device.free(buffer));
    }

    /// The same layers as several groups, each of so many of them. There must be no router yet.
    pub fn split(&self, counts: impl IntoIterator<Item = usize>) -> Vec<RoutedLinears> {
        let height = self.weight.d_out / self.modules.len();
        let mut first = 0;
        let group = |count: usize| {
            let modules = self.modules[first..first + count].to_vec();
            let weight = self.weight.slice_rows(first * height, count * height);
            first += count;
            RoutedLinears { modules, weight, router: None }
        };
        counts.into_iter().map(group).collect()
    }

    /// What the rule wants to know beside the experts: [`Gates::key`].
    fn key(&self, rule: Rule, seed: u32) -> u32 {
        match rule {
            Rule::Length => (self.weight.d_out / self.modules.len()) as u32,
            // FNV-1a, so that every layer's noise is its own.
            _ => self.modules[0]
                .bytes()
                .fold(seed, |key, byte| (key ^ u32::from(byte)).wrapping_mul(0x0100_0193)),
        }
    }
}

/// The gates of layers that share an input, and where the LoRA of each of their experts is.
pub struct Router {
    /// In the device's memory.
    pub gates: Gates,
    /// For each layer, which expert each of its gates belongs to, among all that are loaded; ascending.
    pub experts: Vec<Vec<u32>>,
    /// Where these experts' pages are: one tensor of an [`AdapterPool`](crate::adapter_pool::AdapterPool).
    pub pool: Tensor,
}

/// One expert on one layer, with its raw gate vector (d_in), or what stands in its place; empty where the rule has no
/// vectors.
pub type GatedEntry<'a> = (Entry, &'a [f32]);

impl Router {
    /// A router over the given experts: for each layer, in the order of the experts' indices. `pool` holds their pages, as
    /// [`route::record`] has it.
    pub fn upload(
        device: &mut Device,
        d_in: usize,
        sites: &[Vec<GatedEntry>],
        rule: Rule,
        pool: Tensor,
    ) -> Router {
        let stride = d_in.next_multiple_of(BLOCK);
        let mut vectors: Vec<f32> = Vec::new();
        let mut table: Vec<u32> = Vec::new();
        let mut first = 0;
        for site in sites {
            table.extend([first, site.len() as u32]);
            first += site.len() as u32;
        }
        for (entry, gate) in sites.iter().flatten() {
            let mut entry = *entry;
            match rule {
                Rule::Normalised => {
                    [entry.gate_mean, entry.gate_length] = mean_and_length(gate).map(|value| value as f32);
                    vectors.extend(normalise_gate(gate));
                }
                _ => vectors.extend(*gate),
            }
            table.extend(bytemuck::cast_slice::<Entry, u32>(&[entry]));
            vectors.resize(vectors.len().next_multiple_of(stride), 0.0);
        }
        let is_scanned = rule == Rule::Normalised && device.weight_layout() == WeightLayout::Panels;
        if is_scanned && d_in.is_multiple_of(BLOCK) {
            let counts: Vec<usize> = sites.iter().map(Vec::len).collect();
            gates::append_scan(&mut table, &vectors, d_in, &counts);
        }
        let gates = Gates {
            vectors: device.upload(vectors.len() / stride, stride, DType::F32, &vectors),
            table: device.upload(1, table.len(), DType::U32, &table),
            sites: sites.len(),
            most_experts: sites.iter().map(Vec::len).max().unwrap_or(0),
            max_rank: sites.iter().flatten().map(|(entry, _)| entry.rank as usize).max().unwrap_or(0),
            rule,
            key: 0,
            opens: false,
        };
        let experts = sites.iter().map(|site| site.iter().map(|(entry, _)| entry.expert).collect()).collect();
        Router { gates, experts, pool }
    }

    /// The device memory that this router occupies.
    pub fn buffers(&self) -> [BufferId; 2] {
        [self.gates.vectors.buffer, self.gates.table.buffer]
    }

    /// Words that its deltas take for each token.
    pub fn delta_words(&self, top_k: usize) -> usize {
        let Gates { sites, max_rank, most_experts, .. } = self.gates;
        sites * (top_k * (2 + max_rank) + most_experts)
    }
}

/// `LN(v) / sqrt(d)`. The norm of the gate and its mean are discarded, as the method says; the epsilon matters where
/// the gate has hardly moved from zero.
pub fn normalise_gate(gate: &[f32]) -> Vec<f32> {
    let [mean, length] = mean_and_length(gate);
    gate.iter().map(|v| ((*v as f64 - mean) / length) as f32).collect()
}

/// What normalising takes from a gate and then divides it by: its mean, `sqrt(var v + epsilon) sqrt(d)`.
fn mean_and_length(gate: &[f32]) -> [f64; 2] {
    let d = gate.len() as f64;
    let mean = gate.iter().map(|v| *v as f64).sum::<f64>() / d;
    let variance = gate.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / d;
    [mean, (variance + LAYER_NORM_EPSILON as f64).sqrt() * d.sqrt()]
}

/// One routed layer of a recording, and which rows of the choices are its own.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedSite {
    /// The layer's Hugging Face name.
    pub module: String,
    /// Which expert each of the layer's gates belongs to.
    pub experts: Vec<u32>,
    /// First row in the choices of a step.
    pub first_row: usize,
    /// Tokens routed here.
    pub tokens: usize,
}

/// What all routed layers of a recording share: the experts allowed, and where choices go.
pub struct Routes {
    /// The generation's control words.
    pub control: Tensor,
    /// Which experts may be chosen, and which pages were wanted.
    pub flags: Flags,
    /// Which choices are too weak.
    pub thresholds: Thresholds,
    /// (rows, 2 (k + runners-up)) of `u32`: the choices of all layers, or, untraced, of a few layers at a time.
    pub choices: Tensor,
    /// How many runners-up are told.
    pub runners_up: usize,
    /// Where traced, rows of the choices that one step fills; 0 where every step uses the same.
    pub rows_per_step: usize,
    /// Memory for the deltas of a few layers at a time.
    pub deltas: Tensor,
    /// Where traced, the layers routed so far, in order.
    pub sites: Vec<RoutedSite>,
    /// Keeps every layer's choices, so that they can be read after the pass.
    pub trace: bool,
    /// What random choices begin with.
    pub seed: u32,
    /// Whether experts are as open as their gates: [`Gates::opens`].
    pub opens: bool,
    /// Routes at all. Without, the base alone computes.
    pub enabled: bool,
    /// The first row that no layer has yet.
    pub next_row: usize,
}

impl Routes {
    /// The device memory that belongs to this recording alone.
    pub fn buffers(&self) -> [BufferId; 3] {
        [self.flags.tensor, self.choices, self.deltas].map(|tensor| tensor.buffer)
    }

    /// The same recording's, if nothing were routed.
    pub fn without_experts(&self) -> Routes {
        Routes { sites: Vec::new(), trace: false, enabled: false, ..*self }
    }

    /// Where the routing of `tokens` tokens goes.
    fn reserve(&mut self, linears: &RoutedLinears, router: &Router, tokens: usize) -> (Choices, Deltas) {
        let first_row = self.next_row;
        if self.trace {
            for (site, (module, experts)) in linears.modules.iter().zip(&router.experts).enumerate() {
                let first_row = first_row + site * tokens;
                let (module, experts) = (module.clone(), experts.clone());
                self.sites.push(RoutedSite { module, experts, first_row, tokens });
            }
            // A layer that no expert adapts is not routed, though it has rows.
            self.sites.retain(|site| !site.experts.is_empty());
            self.next_row += linears.modules.len() * tokens;
        }
        let Routes { runners_up, rows_per_step, .. } = *self;
        let choices = Choices { tensor: self.choices, runners_up, first_row, rows_per_step };
        let top_k = self.choices.cols / 2 - runners_up;
        (choices, Deltas::within(self.deltas, &router.gates, tokens, top_k))
    }
}

//! The choice of experts, for every token.

use bytemuck::{Pod, Zeroable};

use crate::kernels::attention::softmax;
use crate::kernels::{ABSENT, dot};
use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::{DType, Tensor};

/// The `k` experts whose gates fit a token best, and their weights.
pub static KERNEL: Kernel = Kernel {
    name: "route",
    access: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
        Access::Write,
        Access::Write,
    ],
    cpu,
};

/// Epsilon of the layer norms of a token's input and of a gate, inside the square root.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

/// What the route and LoRA kernels know of one expert on one layer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Entry {
    /// Index of the expert among all that are loaded.
    pub expert: u32,
    /// Index of the page that holds its LoRA for this layer.
    pub page: u32,
    /// Where A (rank, d_in) begins in the page, in floats.
    pub a: u32,
    /// Where B (d_out, rank) begins in the page, in floats.
    pub b: u32,
    /// Rank of the LoRA.
    pub rank: u32,
    /// What the product `B A u` is multiplied with: alpha / rank, or alpha / sqrt(rank).
    pub scale: f32,
}

impl Entry {
    /// Columns of a table of entries, as a tensor of `u32`.
    pub const WORDS: usize = size_of::<Entry>() / 4;
}

/// Where a layer's routing goes.
#[derive(Debug, Clone, Copy)]
pub struct Routing {
    /// (tokens, k) of `u32`: rows of the layer's table, best first, [`ABSENT`] where there are fewer than k experts.
    pub choices: Tensor,
    /// (tokens, k): the weights of a token's experts sum to 1.
    pub weights: Tensor,
}

/// Appends the routing of every row of `u`.
///
/// `score_z = LN(u) · LN(v_z) / sqrt(d)`, then the k best, then a softmax over those k. Equal scores: the lower index
/// wins. LN has no affine part, its variance is biased, its epsilon [`LAYER_NORM_EPSILON`].
///
/// * `u`: (tokens, d), the layer's own input
/// * `gates`: (experts here, d): `LN(v_z) / sqrt(d)`
/// * `table`: (experts here, [`Entry::WORDS`])
/// * `allowed`: (1, experts) of `u32`: 0 keeps an expert out
/// * `wanted`: (1, pages) of `u32`: set to 1 for the page of every chosen expert, never cleared here
///
/// Source: PHATGOOSE (Muqeeth et al., ICML 2024), section 3; `Router._forward` of r-three/phatgoose. That code takes
/// the softmax over all experts and renormalises the k best with 1e-6 added to their sum, which is the same within
/// 1e-6 · experts / k.
pub fn record(
    recording: &mut Recording,
    u: Tensor,
    gates: Tensor,
    table: Tensor,
    allowed: Tensor,
    routing: Routing,
    wanted: Tensor,
) {
    let Routing { choices, weights } = routing;
    assert!(
        u.cols == gates.cols && gates.rows == table.rows && table.cols == Entry::WORDS,
        "route: {u:?} {gates:?}"
    );
    assert!(
        choices.rows == u.rows && weights.rows == u.rows && choices.cols == weights.cols,
        "route: {routing:?}"
    );
    assert!(choices.dtype == DType::U32, "route: {routing:?}");
    recording.push(&KERNEL, &[0u32; 0], &[u, gates, table, allowed, choices, weights, wanted]);
}

fn cpu(_: &[u8], arguments: &mut [Argument]) {
    let [u, gates, table, allowed, choices, weights, wanted] = arguments else { unreachable!("access list") };
    let (d, k) = (u.cols, choices.cols);
    let table: &[Entry] = table.as_slice();
    let allowed = allowed.as_slice::<u32>();
    let wanted = wanted.as_mut_slice::<u32>();
    let gates = gates.as_slice::<f32>();
    let mut centred = vec![0.0f32; d];
    let mut ranking: Vec<(u32, f32)> = Vec::with_capacity(table.len());
    let rows = u.as_slice::<f32>().chunks_exact(d);
    let outputs = choices
        .as_mut_slice::<u32>()
        .chunks_exact_mut(k)
        .zip(weights.as_mut_slice::<f32>().chunks_exact_mut(k));
    for (u, (choices, weights)) in rows.zip(outputs) {
        let mean = u.iter().sum::<f32>() / d as f32;
        for (centred, u) in centred.iter_mut().zip(u) {
            *centred = u - mean;
        }
        let variance = dot(&centred, &centred) / d as f32;
        let scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
        ranking.clear();
        for (row, entry) in table.iter().enumerate() {
            if allowed[entry.expert as usize] != 0 {
                // Plus zero, so that −0 and 0 are equal below.
                ranking.push((row as u32, scale * dot(&centred, &gates[row * d..][..d]) + 0.0));
            }
        }
        // Stable, so that equal scores stay in the order of the experts. total_cmp, so that NaN panics nowhere.
        ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
        let chosen = ranking.len().min(k);
        choices.fill(ABSENT);
        weights.fill(0.0);
        for (slot, (row, score)) in ranking[..chosen].iter().enumerate() {
            choices[slot] = *row;
            weights[slot] = *score;
            wanted[table[*row as usize].page as usize] = 1;
        }
        softmax(&mut weights[..chosen]);
    }
}

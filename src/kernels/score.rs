//! How well every gate fits every token: the first half of routing, by itself where there are many tokens, so that a GPU reads
//! the gates once for a tile of them.

use bytemuck::{Pod, Zeroable};

use crate::kernels::input::{self, Input};
use crate::kernels::linear::{TILE_ROWS, TILE_TOKENS};
use crate::kernels::route::{Deltas, Entry, Flags, Gates, LAYER_NORM_EPSILON};
use crate::kernels::{dot, hash, total};
use crate::processor::{Compute, vectors};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;

/// The score of every gate, by its [`Rule`], into the scratch behind the slots of [`Deltas`].
pub static KERNEL: Kernel = Kernel {
    name: "score",
    access: &[
        Access::Control,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
    ],
    cpu: vectors::<Score>,
    gpu,
};

/// The score, and in a table of biases the bias, of an expert that may not be chosen: below every other.
pub const LOWEST: f32 = -3.4e38;

/// What the score of an expert is, before its bias is added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Rule {
    /// `LN(u) · g_z` with `g_z = LN(v_z) / sqrt(d)`: PHATGOOSE's.
    #[default]
    Normalised,
    /// `|u · v_z|` of the raw input.
    Absolute,
    /// 0: without biases all are equal, and a softmax over them is their mean.
    Equal,
    /// From 0 to 1, a hash of the layer, the token and the expert. Those chosen weigh the same.
    Noise,
    /// `‖B_z A_z u‖`, without the expert's scale. It wants the pages of all experts that may be chosen. On the CPU alone.
    Length,
}

impl Rule {
    /// Whether experts are told apart by vectors of the size of the input.
    pub fn has_vectors(self) -> bool {
        matches!(self, Rule::Normalised | Rule::Absolute)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    input: u32,
    epsilon: f32,
    sites: u32,
    slots_words: u32,
    site_words: u32,
    rule: u32,
}

/// Appends the scores, by a rule that has vectors; [`route`](crate::kernels::route::record) then chooses from them.
///
/// * `input`: u (tokens, d_in), the layers' own input
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    input: Input,
    gates: &Gates,
    flags: Flags,
    deltas: Deltas,
) {
    assert!(gates.rule.has_vectors(), "score: {:?}", gates.rule);
    let [x, norm] = input.tensors();
    let params = Params {
        input: input.form(),
        epsilon: input.epsilon(),
        sites: gates.sites as u32,
        slots_words: (deltas.top_k * deltas.slot_words()) as u32,
        site_words: deltas.site_words() as u32,
        rule: gates.rule as u32,
    };
    let tensors = [control, x, norm, gates.vectors, gates.table, flags.tensor, deltas.tensor];
    recording.push(&KERNEL, &params, &tensors);
}

struct Score;

impl Compute for Score {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [_, x, norm, vectors, table, flags, deltas] = arguments else { unreachable!("access list") };
        let Scratch { input, floats: centred, .. } = scratch;
        let u = input::compute(params.input, params.epsilon, x, norm, input);
        let gates = GateRows::new(vectors, table, params.sites as usize, params.rule, 0);
        let rows =
            ScoreRows { site_words: params.site_words as usize, slots_words: params.slots_words as usize };
        let deltas = deltas.as_mut_slice();
        gates.score(u, x.rows, 0, &flags.as_slice::<f32>()[1..], rows, deltas, centred);
    }
}

/// Where scores go among the words of deltas.
#[derive(Clone, Copy)]
pub(crate) struct ScoreRows {
    /// Words of a site of one token.
    pub site_words: usize,
    /// Of these, those before the scores.
    pub slots_words: usize,
}

/// Tokens for which a gate is read once: with it they fit the first cache.
const TILE: usize = 8;

/// One expert on one site.
pub(crate) struct GateRow {
    pub site: usize,
    /// Its place among the site's.
    pub index: usize,
    pub entry: Entry,
}

/// The gates of all sites, as the CPU reads them.
pub(crate) struct GateRows<'a> {
    vectors: &'a [f32],
    stride: usize,
    /// For each site the first of its rows and their number.
    ranges: &'a [u32],
    /// By row.
    pub entries: &'a [Entry],
    /// As a number.
    rule: u32,
    /// What noise is a hash of, beside site, token and expert.
    key: u32,
}

impl<'a> GateRows<'a> {
    pub fn new(vectors: &'a Argument, table: &'a Argument, sites: usize, rule: u32, key: u32) -> Self {
        let (ranges, entries) = table.as_slice::<u32>().split_at(2 * sites);
        let entries = bytemuck::cast_slice(entries);
        GateRows { vectors: vectors.as_slice(), stride: vectors.cols, ranges, entries, rule, key }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = GateRow> {
        let sites = 0..self.ranges.len() / 2;
        sites.flat_map(move |site| {
            let (first, count) = self.range(site);
            (0..count).map(move |index| GateRow { site, index, entry: self.entries[first + index] })
        })
    }

    /// The first row of a site, and how many it has.
    pub fn range(&self, site: usize) -> (usize, usize) {
        (self.ranges[2 * site] as usize, self.ranges[2 * site + 1] as usize)
    }

    /// The scores of all tokens on every site, as the bits of floats. `position`: of the first token; `biases`: by expert;
    /// `centred`: room for some tokens.
    #[expect(clippy::too_many_arguments, reason = "what scores depend on, and room")]
    #[inline(always)]
    pub fn score(
        &self,
        u: &[f32],
        tokens: usize,
        position: u32,
        biases: &[f32],
        rows: ScoreRows,
        deltas: &mut [u32],
        centred: &mut Vec<f32>,
    ) {
        let d_in = u.len() / tokens;
        let token_words = self.ranges.len() / 2 * rows.site_words;
        let [is_normalised, is_absolute, is_noise] =
            [Rule::Normalised, Rule::Absolute, Rule::Noise].map(|rule| self.rule == rule as u32);
        let tiles = u.chunks(TILE * d_in).zip(deltas.chunks_mut(TILE * token_words));
        for (position, (u, deltas)) in (position..).step_by(TILE).zip(tiles) {
            let mut scales = [1.0; TILE];
            centred.clear();
            for (u, scale) in u.chunks_exact(d_in).zip(&mut scales) {
                if !is_normalised {
                    centred.extend(u);
                    continue;
                }
                let mean = total(u) / d_in as f32;
                let first = centred.len();
                centred.extend(u.iter().map(|u| u - mean));
                let variance = dot(&centred[first..], &centred[first..]) / d_in as f32;
                *scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
            }
            for site in 0..self.ranges.len() / 2 {
                let (first, count) = self.range(site);
                for index in 0..count {
                    let gate = match is_normalised || is_absolute {
                        true => &self.vectors[(first + index) * self.stride..][..d_in],
                        false => &[],
                    };
                    let expert = self.entries[first + index].expert;
                    let bias = biases[expert as usize];
                    let place = site * rows.site_words + rows.slots_words + index;
                    let tokens = centred.chunks_exact(d_in).zip(&scales);
                    let tokens = (position..).zip(tokens).zip(deltas.chunks_exact_mut(token_words));
                    for ((position, (centred, scale)), deltas) in tokens {
                        let score = if bias == LOWEST {
                            LOWEST
                        } else if is_noise {
                            let bits = hash([self.key, site as u32, position, expert]);
                            (bits >> 8) as f32 / (1 << 24) as f32 + bias
                        } else {
                            // Without vectors it is 0.
                            let product = scale * dot(centred, gate);
                            if is_absolute { product.abs() + bias } else { product + bias }
                        };
                        deltas[place] = score.to_bits();
                    }
                }
            }
        }
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let params: Params = dispatch.params();
    let [tokens, gates] = [dispatch.tensors[1].rows, dispatch.tensors[3].rows];
    Program {
        source: &[
            include_str!("../../shaders/common/matrix.wgsl"),
            include_str!("../../shaders/common/input.wgsl"),
            include_str!("../../shaders/common/gates.wgsl"),
            include_str!("../../shaders/common/tile.wgsl"),
            include_str!("../../shaders/score.wgsl"),
        ],
        entry: "score",
        constants: vec![("INPUT", params.input as f64)],
        workgroups: [gates.div_ceil(TILE_ROWS) as u32, tokens.div_ceil(TILE_TOKENS) as u32, 1],
    }
}

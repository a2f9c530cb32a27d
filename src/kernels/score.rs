//! How well every gate fits every token: the first half of routing, by itself where there are many tokens, so that a GPU reads
//! the gates once for a tile of them.

use bytemuck::{Pod, Zeroable};

use crate::kernels::gates::{GateRows, ScoreRows};
use crate::kernels::input::{self, Input};
use crate::kernels::linear::{TILE_ROWS, TILE_TOKENS};
use crate::kernels::route::{Deltas, Flags, Gates};
use crate::processor::{Compute, vectors};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;
use crate::wgsl::wgsl;

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
    on_the_way: None,
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
        let Scratch { processor, input, floats: centred, .. } = scratch;
        let gates = GateRows::new(vectors, table, params.sites as usize, params.rule, 0);
        if gates.scan.is_some() {
            // Then `route` scores what may be chosen and no more.
            return;
        }
        let u = input::compute(params.input, params.epsilon, x, norm, input);
        let rows =
            ScoreRows { site_words: params.site_words as usize, slots_words: params.slots_words as usize };
        let deltas = deltas.as_mut_slice();
        gates.score(u, x.rows, 0, &flags.as_slice::<f32>()[1..], rows, deltas, centred, *processor);
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let params: Params = dispatch.params();
    let [tokens, gates] = [dispatch.tensors[1].rows, dispatch.tensors[3].rows];
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/input.wgsl"),
            wgsl!("../../shaders/common/gates.wgsl"),
            wgsl!("../../shaders/common/tile.wgsl"),
            wgsl!("../../shaders/common/float_tile.wgsl"),
            wgsl!("../../shaders/score.wgsl"),
        ],
        entry: "score",
        constants: vec![("INPUT", params.input as f64)],
        workgroups: [gates.div_ceil(TILE_ROWS) as u32, tokens.div_ceil(TILE_TOKENS) as u32, 1],
    }
}

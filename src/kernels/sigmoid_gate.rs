//! The gate while it is trained: one expert on one layer, let through as far as its gate is open.

use bytemuck::{Pod, Zeroable};

use crate::kernels::dot;
use crate::kernels::input::{self, Input};
use crate::kernels::route::{Deltas, Entry};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;
use crate::wgsl::wgsl;

/// `t = sigmoid(v · u) s A u`, which `linear` completes to `y = W u + sigmoid(v · u) s B A u`.
pub static KERNEL: Kernel = Kernel {
    name: "sigmoid_gate",
    access: &[Access::Control, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    cpu,
    gpu,
    on_the_way: None,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    input: u32,
    epsilon: f32,
    /// Where A and B begin in the pool, in words.
    a: u32,
    b: u32,
    rank: u32,
    scale: f32,
    site_words: u32,
}

/// Appends the gate of every token. No softmax and no layer norm: v and u are raw.
///
/// * `input`: u (tokens, d_in)
/// * `gate`: v (1, d_in)
/// * `entry`: the expert; its page is resident and begins at word `page` of `pool`
/// * `deltas`: one site, one slot
///
/// Source: PHATGOOSE (Muqeeth et al., ICML 2024), section 3, gate training.
#[expect(clippy::too_many_arguments, reason = "the formula's own")]
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    input: Input,
    gate: Tensor,
    entry: Entry,
    page: u32,
    pool: Tensor,
    deltas: Deltas,
) {
    assert!(gate.len() == input.d_in(), "sigmoid_gate: {input:?} {gate:?}");
    assert!(deltas.sites == 1 && deltas.top_k == 1 && entry.rank as usize <= deltas.max_rank, "{deltas:?}");
    let [x, norm] = input.tensors();
    let params = Params {
        input: input.form(),
        epsilon: input.epsilon(),
        a: page + entry.a,
        b: page + entry.b,
        rank: entry.rank,
        scale: entry.scale,
        site_words: deltas.site_words() as u32,
    };
    recording.push(&KERNEL, &params, &[control, x, norm, gate, pool, deltas.tensor]);
}

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    let params: &Params = bytemuck::from_bytes(params);
    let [_, x, norm, gate, pool, deltas] = arguments else { unreachable!("access list") };
    let tokens = x.rows;
    let u = input::compute(params.input, params.epsilon, x, norm, &mut scratch.input);
    let d_in = u.len() / tokens;
    let rank = params.rank as usize;
    let a = &pool.as_slice::<f32>()[params.a as usize..][..rank * d_in];
    let gate = gate.as_slice::<f32>();
    let rows = deltas.as_mut_slice::<u32>().chunks_exact_mut(params.site_words as usize);
    for (u, delta) in u.chunks_exact(d_in).zip(rows) {
        let open = 1.0 / (1.0 + (-dot(gate, u)).exp());
        delta[..2].copy_from_slice(&[params.b, params.rank]);
        for (projected, a) in delta[2..2 + rank].iter_mut().zip(a.chunks_exact(d_in)) {
            *projected = (open * params.scale * dot(a, u)).to_bits();
        }
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let params: Params = dispatch.params();
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/input.wgsl"),
            wgsl!("../../shaders/common/shared_input.wgsl"),
            wgsl!("../../shaders/common/workgroup_sum.wgsl"),
            wgsl!("../../shaders/sigmoid_gate.wgsl"),
        ],
        entry: "sigmoid_gate",
        constants: vec![("INPUT", params.input as f64)],
        workgroups: [dispatch.tensors[1].rows as u32, 1, 1],
    }
}

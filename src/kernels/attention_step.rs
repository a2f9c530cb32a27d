//! The decoder's self-attention for one new token, whose key and value join the cache.

use bytemuck::{Pod, Zeroable};

use crate::kernels::attend::{KeysAndValues, PositionBias, attend};
use crate::processor::{Compute, vectors};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;
use crate::wgsl::wgsl;

/// `cache[position] = (k, v)`, then `out = Σ_j softmax_j(q · k_j + bias[j − position]) v_j` over j up to the position.
///
/// Doing it again at the same position gives the same again, so that a step can be repeated.
pub static KERNEL: Kernel = Kernel {
    name: "attention_step",
    access: &[Access::Control, Access::Read, Access::Read, Access::Write, Access::Write],
    cpu: vectors::<AttentionStep>,
    gpu,
    on_the_way: None,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
}

/// Appends the step.
///
/// * `qkv`: (1, 3 inner): query, key and value of the new token, inner = heads × d_kv
/// * `bias`: (2 reach + 1, heads), as in [`attention`](crate::kernels::attention::record)
/// * `cache`: (positions, 2 inner): keys, then values
/// * `out`: (1, inner)
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    qkv: Tensor,
    bias: Tensor,
    heads: usize,
    cache: Tensor,
    out: Tensor,
) {
    assert!(
        qkv.rows == 1 && qkv.cols == 3 * out.cols && cache.cols == 2 * out.cols,
        "attention_step: {qkv:?} {cache:?} {out:?}"
    );
    recording.push(&KERNEL, &Params { heads: heads as u32 }, &[control, qkv, bias, cache, out]);
}

struct AttentionStep;

impl Compute for AttentionStep {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [control, qkv, bias, cache, out] = arguments else { unreachable!("access list") };
        let inner = out.cols;
        let position = control.control().position as usize;
        let (query, new) = qkv.as_slice::<f32>().split_at(inner);
        cache.as_mut_slice::<f32>()[position * 2 * inner..][..2 * inner].copy_from_slice(new);
        let keys = KeysAndValues::new(cache, 0, inner as u32);
        let heads = params.heads as usize;
        // For all steps to come.
        scratch.floats.clear();
        scratch.floats.reserve(heads * cache.rows);
        let Scratch { processor, floats: scores, .. } = scratch;
        let out = out.as_mut_slice();
        let bias = PositionBias::new(bias, heads);
        attend(query, position, &keys, position + 1, &bias, *processor, scores, out);
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let params: Params = dispatch.params();
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/attend.wgsl"),
            wgsl!("../../shaders/attention_step.wgsl"),
        ],
        entry: "attention_step",
        constants: Vec::new(),
        workgroups: [params.heads, 1, 1],
    }
}

//! T5's attention: no scaling of the scores, a learnt bias by relative position in self-attention.

use bytemuck::{Pod, Zeroable};

use crate::kernels::dot;
use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::Tensor;

/// `out[i] = Σ_j softmax_j(q_i · k_j + bias[j − i]) v_j`, head by head.
pub static KERNEL: Kernel = Kernel {
    name: "attention",
    access: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Write],
    cpu,
};

/// Which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of them: the encoder, with bias, and cross-attention, without.
    All,
    /// Those up to its own position: the decoder.
    Past,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    past_only: u32,
}

/// Appends attention.
///
/// * `q`: (queries, inner), inner = heads × d_kv
/// * `k`, `v`: (keys, inner)
/// * `bias`: (2 reach + 1, heads): row `reach + clamp(j − i, −reach, reach)` for query position i and key position j;
///   no rows where there is no bias
/// * `position`: (1, 1) of `u32`: the position of the first query; the first key is at 0
/// * `out`: (queries, inner)
#[expect(clippy::too_many_arguments, reason = "the six tensors are the formula's own")]
pub fn record(
    recording: &mut Recording,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    position: Tensor,
    heads: usize,
    span: Span,
    out: Tensor,
) {
    assert!(
        q.cols == k.cols
            && k == Tensor { buffer: k.buffer, offset: k.offset, ..v }
            && q.cols.is_multiple_of(heads),
        "attention: {q:?} {k:?} {v:?}"
    );
    assert!(out.rows == q.rows && out.cols == q.cols, "attention: {q:?} {out:?}");
    let params = Params { heads: heads as u32, past_only: (span == Span::Past) as u32 };
    recording.push(&KERNEL, &params, &[q, k, v, bias, position, out]);
}

fn cpu(params: &[u8], arguments: &mut [Argument]) {
    let params: &Params = bytemuck::from_bytes(params);
    let [q, k, v, bias, position, out] = arguments else { unreachable!("access list") };
    let heads = params.heads as usize;
    let (inner, key_count, reach) = (q.cols, k.rows, bias.rows / 2);
    let d_kv = inner / heads;
    let first = position.as_slice::<u32>()[0] as usize;
    let (queries, keys, values) = (q.as_slice::<f32>(), k.as_slice::<f32>(), v.as_slice::<f32>());
    let bias = bias.as_slice::<f32>();
    let out = out.as_mut_slice::<f32>();
    let mut scores = vec![0.0f32; key_count];
    for (row, (query, out)) in queries.chunks_exact(inner).zip(out.chunks_exact_mut(inner)).enumerate() {
        let at = first + row;
        let visible = if params.past_only != 0 { at + 1 } else { key_count };
        for head in 0..heads {
            let lanes = head * d_kv..(head + 1) * d_kv;
            let scores = &mut scores[..visible];
            for (j, score) in scores.iter_mut().enumerate() {
                // Not divided by sqrt(d_kv): T5's initialisation accounts for it.
                *score = dot(&query[lanes.clone()], &keys[j * inner..][lanes.clone()]);
                if !bias.is_empty() {
                    let distance = (j as isize - at as isize).clamp(-(reach as isize), reach as isize);
                    *score += bias[(reach as isize + distance) as usize * heads + head];
                }
            }
            softmax(scores);
            let out = &mut out[lanes.clone()];
            out.fill(0.0);
            for (j, probability) in scores.iter().enumerate() {
                for (out, value) in out.iter_mut().zip(&values[j * inner..][lanes.clone()]) {
                    *out += probability * value;
                }
            }
        }
    }
}

/// `x = exp(x − max x) / Σ exp(x − max x)`, in place.
pub(crate) fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    for x in x.iter_mut() {
        *x /= sum;
    }
}

//! T5's attention: no scaling of the scores, a learnt bias by relative position in self-attention.

use bytemuck::{Pod, Zeroable};

use crate::kernels::attend::{KeysAndValues, PositionBias, attend};
use crate::kernels::attend_together::{QUERIES, attend_together};
use crate::processor::{Compute, vectors};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;
use crate::wgsl::wgsl;

/// `out[i] = Σ_j softmax_j(q_i · k_j + bias[j − i]) v_j` over all j, head by head: the encoder, with bias, and
/// cross-attention, without.
pub static KERNEL: Kernel = Kernel {
    name: "attention",
    access: &[Access::Control, Access::Read, Access::Read, Access::Read, Access::Write],
    cpu,
    gpu,
    on_the_way: None,
};

/// Queries, keys or values among the columns of a tensor: (rows, inner) from column `column` on, inner = heads × d_kv.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// The tensor.
    pub tensor: Tensor,
    /// The first column.
    pub column: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    heads: u32,
    /// First columns of queries, keys and values.
    q_column: u32,
    k_column: u32,
    v_column: u32,
}

/// Appends attention.
///
/// * `q`: (queries, inner)
/// * `k`, `v`: (keys, inner), columns of the same tensor
/// * `bias`: (2 reach + 1, heads): row `reach + clamp(j − i, −reach, reach)` for query position i and key position j;
///   no rows where there is no bias
/// * `out`: (queries, inner)
#[expect(clippy::too_many_arguments, reason = "the tensors are the formula's own")]
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    q: Columns,
    k: Columns,
    v: Columns,
    bias: Tensor,
    heads: usize,
    out: Tensor,
) {
    assert!(
        k.tensor == v.tensor && out.rows == q.tensor.rows && out.cols.is_multiple_of(heads),
        "{q:?} {k:?}"
    );
    let [q_column, k_column, v_column] = [q, k, v].map(|columns| columns.column as u32);
    let params = Params { heads: heads as u32, q_column, k_column, v_column };
    recording.push(&KERNEL, &params, &[control, q.tensor, k.tensor, bias, out]);
}

/// From so many queries on, it pays to turn keys around.
const TOGETHER: usize = QUERIES;

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    const Q: usize = 1;
    const OUT: usize = 4;
    // Before they are cut: the bits must not depend on how many threads there are.
    let kernel = match arguments[Q].rows {
        ..TOGETHER => vectors::<Attention<false>>,
        _ => vectors::<Attention<true>>,
    };
    match &mut scratch.team {
        Some(team) if arguments[Q].rows >= team.threads() => {
            team.each_rows(arguments, &[Q, OUT], |part, scratch| kernel(params, part, scratch));
        }
        _ => kernel(params, arguments, scratch),
    }
}

/// Each query by itself, or some at a time.
struct Attention<const ARE_TOGETHER: bool>;

impl<const ARE_TOGETHER: bool> Compute for Attention<ARE_TOGETHER> {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [_, q, keys, bias, out] = arguments else { unreachable!("access list") };
        let keys = KeysAndValues::new(keys, params.k_column, params.v_column);
        let bias = PositionBias::new(bias, params.heads as usize);
        let (column, processor, room) = (params.q_column as usize, scratch.processor, &mut scratch.floats);
        if ARE_TOGETHER {
            match processor.lanes() {
                8 => attend_together::<8>(q, column, &keys, &bias, processor, room, out),
                16 => attend_together::<16>(q, column, &keys, &bias, processor, room, out),
                _ => attend_together::<32>(q, column, &keys, &bias, processor, room, out),
            }
            return;
        }
        let (inner, outs) = (out.cols, out.as_mut_slice::<f32>());
        let queries = q.as_slice::<f32>().chunks_exact(q.cols).zip(outs.chunks_exact_mut(inner));
        for ((query, out), at) in queries.zip(q.first_row..) {
            attend(&query[column..][..inner], at, &keys, keys.count(), &bias, processor, room, out);
        }
    }
}

/// Queries of one workgroup, where a CPU plays the GPU.
const FOURS: usize = 32;

fn gpu(dispatch: &Dispatch, target: Target) -> Program {
    let params: Params = dispatch.params();
    let [keys, out] = [dispatch.tensors[2], dispatch.tensors[4]];
    let (queries, heads) = (out.rows, params.heads as usize);
    // For four keys at a time, each lane is gone through twice.
    let rounds = keys.rows.div_ceil(4) * (1 + 2 * out.cols / heads);
    let (entry, queries) = match target.is_software && queries >= 4 && rounds <= Target::MOST_ROUNDS {
        true => ("attention_four", queries.div_ceil(FOURS)),
        false => ("attention", queries),
    };
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/attend.wgsl"),
            wgsl!("../../shaders/common/attend_four.wgsl"),
            wgsl!("../../shaders/attention.wgsl"),
        ],
        entry,
        constants: Vec::new(),
        workgroups: [params.heads, queries as u32, 1],
    }
}

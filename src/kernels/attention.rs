//! T5's attention: no scaling of the scores, a learnt bias by relative position in self-attention.

use bytemuck::{Pod, Zeroable};

use crate::kernels::{dot_by, softmax};
use crate::processor::{Compute, Processor, vectors};
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

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    const Q: usize = 1;
    const OUT: usize = 4;
    match &mut scratch.team {
        Some(team) if arguments[Q].rows >= team.threads() => {
            team.each_rows(arguments, &[Q, OUT], |part, scratch| vectors::<Attention>(params, part, scratch));
        }
        _ => vectors::<Attention>(params, arguments, scratch),
    }
}

struct Attention;

impl Compute for Attention {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [_, q, keys, bias, out] = arguments else { unreachable!("access list") };
        let inner = out.cols;
        let (queries, q_cols) = (q.as_slice::<f32>(), q.cols);
        let key_count = keys.rows;
        let keys = KeysAndValues {
            floats: keys.as_slice(),
            cols: keys.cols,
            k: params.k_column as usize,
            v: params.v_column as usize,
            processor: scratch.processor,
        };
        let scores = &mut scratch.floats;
        scores.clear();
        scores.resize(key_count, 0.0);
        let first = q.first_row;
        for (index, out) in out.as_mut_slice::<f32>().chunks_exact_mut(inner).enumerate() {
            let at = first + index;
            let query = &queries[index * q_cols + params.q_column as usize..][..inner];
            attend(query, at, &keys, bias, params.heads as usize, scores, out);
        }
    }
}

/// Rows of keys and values.
pub(crate) struct KeysAndValues<'a> {
    pub floats: &'a [f32],
    pub cols: usize,
    /// First column of the keys.
    pub k: usize,
    /// First column of the values.
    pub v: usize,
    pub processor: Processor,
}

/// One query, at position `at`, over as many keys as `scores` has room for.
#[inline(always)]
pub(crate) fn attend(
    query: &[f32],
    at: usize,
    keys: &KeysAndValues,
    bias: &Argument,
    heads: usize,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let d_kv = query.len() / heads;
    let reach = (bias.rows / 2) as isize;
    let bias = bias.as_slice::<f32>();
    for head in 0..heads {
        let lanes = head * d_kv..(head + 1) * d_kv;
        for (j, score) in scores.iter_mut().enumerate() {
            // Not divided by sqrt(d_kv): T5's initialisation accounts for it.
            let key = &keys.floats[j * keys.cols + keys.k..][lanes.clone()];
            *score = dot_by(keys.processor, &query[lanes.clone()], key);
            if !bias.is_empty() {
                let distance = (j as isize - at as isize).clamp(-reach, reach);
                *score += bias[(reach + distance) as usize * heads + head];
            }
        }
        softmax(scores);
        let values = &keys.floats[keys.v + lanes.start..];
        let (wide, rest) = out[lanes].as_chunks_mut::<WIDTH>();
        for (index, out) in wide.iter_mut().enumerate() {
            *out = mix(scores, &values[index * WIDTH..], keys.cols);
        }
        let first = wide.len() * WIDTH;
        for (index, out) in rest.iter_mut().enumerate() {
            [*out] = mix(scores, &values[first + index..], keys.cols);
        }
    }
}

/// Columns of values that are summed up together: as many as fit the registers of all processors.
const WIDTH: usize = 32;

/// `Σ_j probability_j v_j`, of the first columns of rows that are `stride` apart.
#[inline(always)]
fn mix<const COLUMNS: usize>(probabilities: &[f32], values: &[f32], stride: usize) -> [f32; COLUMNS] {
    let mut sums = [0.0; COLUMNS];
    for (probability, row) in probabilities.iter().zip(values.chunks(stride)) {
        for (sum, value) in sums.iter_mut().zip(&row[..COLUMNS]) {
            *sum += probability * value;
        }
    }
    sums
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

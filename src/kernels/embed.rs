//! Token ids to rows of the embedding.

use crate::kernels::weight::{Weight, decode_row};
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::{DType, Tensor};
use crate::wgsl::wgsl;

/// `y[t] = table[ids[t]]`. T5 does not scale its embeddings.
pub static KERNEL: Kernel = Kernel {
    name: "embed",
    access: &[Access::Control, Access::Read, Access::Read, Access::Read, Access::Write],
    cpu,
    gpu,
    on_the_way: None,
};

/// Appends the lookup.
///
/// * `ids`: (1, tokens) of `u32`, each below the rows of `table`
/// * `table`: (vocabulary, d_model), any weight format
/// * `y`: (tokens, d_model)
pub fn record(recording: &mut Recording, control: Tensor, ids: Tensor, table: &Weight, y: Tensor) {
    assert!(ids.dtype == DType::U32 && ids.len() == y.rows && table.d_in == y.cols, "embed: {ids:?} {y:?}");
    recording.push(&KERNEL, &[0u32; 0], &[control, ids, table.values, table.scales, y]);
}

fn cpu(_: &[u8], arguments: &mut [Argument], _: &mut Scratch) {
    let [_, ids, values, scales, y] = arguments else { unreachable!("access list") };
    let dim = y.cols;
    for (id, y) in ids.as_slice::<u32>().iter().zip(y.as_mut_slice::<f32>().chunks_exact_mut(dim)) {
        decode_row(values, scales, *id as usize, y);
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    let y = dispatch.tensors[4];
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/weight.wgsl"),
            wgsl!("../../shaders/embed.wgsl"),
        ],
        entry: "embed",
        constants: vec![("FORMAT", Weight::format(&dispatch.tensors[2]) as f64)],
        workgroups: [y.rows as u32, 1, 1],
    }
}

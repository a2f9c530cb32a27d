//! T5's layer norm.

use bytemuck::{Pod, Zeroable};

use crate::kernels::dot;
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::Scratch;
use crate::tensor::Tensor;
use crate::wgsl::wgsl;

/// `y = x / sqrt(mean(x²) + epsilon) · weight`, over each row: no mean is subtracted and there is no bias.
pub static KERNEL: Kernel = Kernel {
    name: "rms_norm",
    access: &[Access::Control, Access::Read, Access::Read, Access::Write],
    cpu,
    gpu,
    on_the_way: None,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    epsilon: f32,
}

/// Appends the norm of every row of `x`.
///
/// * `x`: (tokens, d)
/// * `weight`: (1, d)
/// * `y`: (tokens, d)
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    x: Tensor,
    weight: Tensor,
    epsilon: f32,
    y: Tensor,
) {
    assert!(
        x.cols == weight.cols && x.rows == y.rows && x.cols == y.cols,
        "rms_norm: {x:?} {weight:?} {y:?}"
    );
    recording.push(&KERNEL, &Params { epsilon }, &[control, x, weight, y]);
}

fn cpu(params: &[u8], arguments: &mut [Argument], _: &mut Scratch) {
    let params: &Params = bytemuck::from_bytes(params);
    let [_, x, weight, y] = arguments else { unreachable!("access list") };
    let dim = x.cols;
    for (x, y) in x.as_slice::<f32>().chunks_exact(dim).zip(y.as_mut_slice::<f32>().chunks_exact_mut(dim)) {
        normalise(x, weight.as_slice(), params.epsilon, y);
    }
}

/// One row.
#[inline(always)]
pub(crate) fn normalise(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    let mean_square = dot(x, x) / x.len() as f32;
    let scale = 1.0 / (mean_square + epsilon).sqrt();
    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
        *y = x * scale * weight;
    }
}

fn gpu(dispatch: &Dispatch, _: Target) -> Program {
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/workgroup_sum.wgsl"),
            wgsl!("../../shaders/rms_norm.wgsl"),
        ],
        entry: "rms_norm",
        constants: Vec::new(),
        workgroups: [dispatch.tensors[1].rows as u32, 1, 1],
    }
}

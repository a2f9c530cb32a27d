//! The product with a weight matrix, in whatever format the weight is.

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};

use crate::device::Device;
use crate::kernels::dot;
use crate::quant::{Matrix, Values};
use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::{DType, Tensor};

/// Values that share one scale in Q8_0 and Q4_0.
const BLOCK: usize = 32;

/// `y = scale · x Wᵀ`, or `y += scale · x Wᵀ`.
pub static KERNEL: Kernel =
    Kernel { name: "matmul", access: &[Access::Read, Access::Read, Access::Read, Access::Write], cpu };

/// A weight matrix (d_out, d_in) in a device's memory.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Rows.
    pub d_out: usize,
    /// Columns.
    pub d_in: usize,
    /// The floats, or the quants: (d_out, d_in), for Q4_0 (d_out, d_in / 2) bytes.
    pub values: Tensor,
    /// (d_out, d_in / 32) of f16 for Q8_0 and Q4_0; no rows otherwise.
    pub scales: Tensor,
}

impl Weight {
    /// Copies a matrix to the device, in the format that it has.
    pub fn upload(device: &mut Device, matrix: &Matrix) -> Weight {
        let (rows, cols) = (matrix.rows, matrix.cols);
        let (values, scales) = match &matrix.values {
            Values::F32(values) => (device.upload(rows, cols, DType::F32, values), None),
            Values::F16(values) => (device.upload(rows, cols, DType::F16, values), None),
            Values::Bf16(values) => (device.upload(rows, cols, DType::Bf16, values), None),
            Values::Q8_0 { quants, scales } => (device.upload(rows, cols, DType::I8, quants), Some(scales)),
            Values::Q4_0 { nibbles, scales } => {
                (device.upload(rows, cols / 2, DType::Nibbles, nibbles), Some(scales))
            }
        };
        let scales = match scales {
            Some(scales) => device.upload(rows, cols / BLOCK, DType::F16, scales),
            None => Tensor { rows: 0, cols: 0, ..values },
        };
        Weight { d_out: rows, d_in: cols, values, scales }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    scale: f32,
    accumulate: u32,
}

/// What becomes of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `y` is overwritten.
    Store,
    /// The product is added to `y`: the residual stream.
    Add,
}

/// Appends the product of every row of `x` with every row of `weight`.
///
/// * `x`: (tokens, d_in)
/// * `y`: (tokens, d_out)
pub fn record(recording: &mut Recording, x: Tensor, weight: &Weight, scale: f32, output: Output, y: Tensor) {
    assert!(
        x.cols == weight.d_in && y.cols == weight.d_out && x.rows == y.rows,
        "matmul: {x:?} {weight:?} {y:?}"
    );
    let params = Params { scale, accumulate: (output == Output::Add) as u32 };
    recording.push(&KERNEL, &params, &[x, weight.values, weight.scales, y]);
}

fn cpu(params: &[u8], arguments: &mut [Argument]) {
    let params: &Params = bytemuck::from_bytes(params);
    let [x, values, scales, y] = arguments else { unreachable!("access list") };
    let (d_in, d_out) = (x.cols, y.cols);
    let x = x.as_slice::<f32>();
    let y = y.as_mut_slice::<f32>();
    let mut row = vec![0.0f32; d_in];
    for output in 0..d_out {
        // A row is decoded once and used for all tokens.
        decode_row(values, scales, output, &mut row);
        for (token, x) in x.chunks_exact(d_in).enumerate() {
            let product = params.scale * dot(x, &row);
            let y = &mut y[token * d_out + output];
            *y = if params.accumulate != 0 { *y + product } else { product };
        }
    }
}

/// Row `index` of a weight as floats. `row` has d_in elements.
pub(crate) fn decode_row(values: &Argument, scales: &Argument, index: usize, row: &mut [f32]) {
    let d_in = row.len();
    let scale = |block: usize| f16::from_bits(scales.as_slice::<u16>()[index * scales.cols + block]).to_f32();
    match values.dtype {
        DType::F32 => row.copy_from_slice(&values.as_slice::<f32>()[index * d_in..][..d_in]),
        DType::F16 => {
            for (row, bits) in row.iter_mut().zip(&values.as_slice::<u16>()[index * d_in..]) {
                *row = f16::from_bits(*bits).to_f32();
            }
        }
        DType::Bf16 => {
            for (row, bits) in row.iter_mut().zip(&values.as_slice::<u16>()[index * d_in..]) {
                *row = bf16::from_bits(*bits).to_f32();
            }
        }
        DType::I8 => {
            let quants = values.as_slice::<i8>()[index * d_in..][..d_in].chunks_exact(BLOCK);
            for (block, (row, quants)) in row.chunks_exact_mut(BLOCK).zip(quants).enumerate() {
                let scale = scale(block);
                for (row, quant) in row.iter_mut().zip(quants) {
                    *row = scale * *quant as f32;
                }
            }
        }
        DType::Nibbles => {
            let nibbles = values.as_slice::<u8>()[index * d_in / 2..][..d_in / 2].chunks_exact(BLOCK / 2);
            for (block, (row, nibbles)) in row.chunks_exact_mut(BLOCK).zip(nibbles).enumerate() {
                let scale = scale(block);
                let (low, high) = row.split_at_mut(BLOCK / 2);
                for ((low, high), nibble) in low.iter_mut().zip(high).zip(nibbles) {
                    *low = scale * ((nibble & 15) as f32 - 8.0);
                    *high = scale * ((nibble >> 4) as f32 - 8.0);
                }
            }
        }
        DType::U32 => panic!("a weight is never of integers"),
    }
}

//! A weight matrix in a device's memory, in whatever format it has.

use half::{bf16, f16};

use crate::device::{Device, WeightLayout};
use crate::panels::{self, Bits, Panels};
use crate::quant::{BLOCK, Matrix, Values};
use crate::recording::Argument;
use crate::tensor::{DType, Tensor};

/// A weight matrix (d_out, d_in) in a device's memory. Its rows are whole blocks of 32 values: floats are filled up with
/// zeros where d_in is no multiple of 32. So a GPU reads 16 bytes at a time, and needs no other layout.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// Rows.
    pub d_out: usize,
    /// Columns that count.
    pub d_in: usize,
    /// The floats, or the quants: (d_out, d_in rounded up to 32); for Q4_0 (d_out, d_in / 2) bytes; or [`panels`].
    pub values: Tensor,
    /// (d_out, d_in / 32) of f16 for Q8_0 and Q4_0 in rows; no rows otherwise.
    pub scales: Tensor,
}

impl Weight {
    /// Copies a matrix to the device, in the format that it has.
    pub fn upload(device: &mut Device, matrix: &Matrix) -> Weight {
        Weight::upload_joined(device, &[matrix])
    }

    /// The rows of several matrices of the same d_in, one after another. Where their formats differ they become f32,
    /// which is exact.
    pub fn upload_joined(device: &mut Device, matrices: &[&Matrix]) -> Weight {
        let d_in = matrices[0].cols;
        assert!(matrices.iter().all(|matrix| matrix.cols == d_in), "weights of one input differ in d_in");
        let d_out = matrices.iter().map(|matrix| matrix.rows).sum();
        let padded = d_in.next_multiple_of(BLOCK);
        let format = matrices[0].values.format();
        let mixed = matrices.iter().any(|matrix| matrix.values.format() != format);

        let bits = match format {
            _ if mixed || device.weight_layout() == WeightLayout::Rows => None,
            "Q8_0" => Some((Bits::Eight, DType::Panels8)),
            "Q4_0" => Some((Bits::Four, DType::Panels4)),
            _ => None,
        };
        if let Some((bits, dtype)) = bits {
            let packed = panels::pack(matrices, bits);
            let cols = bits.panel_bytes(d_in);
            let values = device.upload(packed.len() / cols, cols, dtype, &packed);
            return Weight { d_out, d_in, values, scales: Tensor { rows: 0, cols: 0, ..values } };
        }

        let mut parts = Parts::default();
        let mut dtype = DType::F32;
        for matrix in matrices {
            dtype = match &matrix.values {
                values if mixed && !matches!(values, Values::F32(_)) => {
                    parts.rows(bytemuck::cast_slice(&matrix.to_f32()), 4 * d_in, 4 * padded);
                    DType::F32
                }
                Values::F32(values) => {
                    parts.rows(bytemuck::cast_slice(values), 4 * d_in, 4 * padded);
                    DType::F32
                }
                Values::F16(bits) => {
                    parts.rows(bytemuck::cast_slice(bits), 2 * d_in, 2 * padded);
                    DType::F16
                }
                Values::Bf16(bits) => {
                    parts.rows(bytemuck::cast_slice(bits), 2 * d_in, 2 * padded);
                    DType::Bf16
                }
                Values::Q8_0 { quants, scales } => {
                    parts.rows(bytemuck::cast_slice(quants), d_in, padded);
                    parts.scales.extend(scales);
                    DType::I8
                }
                Values::Q4_0 { nibbles, scales } => {
                    parts.rows(nibbles, d_in / 2, padded / 2);
                    parts.scales.extend(scales);
                    DType::Nibbles
                }
            };
        }
        let cols = if dtype == DType::Nibbles { padded / 2 } else { padded };
        let values = device.upload(d_out, cols, dtype, &parts.values);
        let scales = match parts.scales.is_empty() {
            true => Tensor { rows: 0, cols: 0, ..values },
            false => device.upload(d_out, d_in / BLOCK, DType::F16, &parts.scales),
        };
        Weight { d_out, d_in, values, scales }
    }

    /// Whether it is in [`panels`], by which activations are multiplied rounded.
    pub fn is_in_panels(&self) -> bool {
        matches!(self.values.dtype, DType::Panels8 | DType::Panels4)
    }

    /// What shaders call the format.
    pub(crate) fn format(values: &Tensor) -> u32 {
        match values.dtype {
            DType::F32 => 0,
            DType::F16 => 1,
            DType::Bf16 => 2,
            DType::I8 => 3,
            DType::Nibbles => 4,
            DType::Panels8 | DType::Panels4 => panic!("panels are a CPU's"),
            DType::U32 | DType::Factors => panic!("a weight is never of integers"),
        }
    }
}

/// The weight in panels, if it is.
pub(crate) fn in_panels<'a>(values: &'a Argument, d_in: usize) -> Option<Panels<'a>> {
    let bits = match values.dtype {
        DType::Panels8 => Bits::Eight,
        DType::Panels4 => Bits::Four,
        _ => return None,
    };
    Some(Panels { bytes: values.as_slice(), cols: d_in, bits })
}

#[derive(Default)]
struct Parts {
    values: Vec<u8>,
    scales: Vec<u16>,
}

impl Parts {
    /// Appends rows of `length` bytes, each filled up with zeros to `padded` bytes.
    fn rows(&mut self, bytes: &[u8], length: usize, padded: usize) {
        for row in bytes.chunks_exact(length) {
            self.values.extend(row);
            self.values.resize(self.values.len() + padded - length, 0);
        }
    }
}

/// Row `index` of a weight as floats. `row` has d_in elements.
#[inline(always)]
pub(crate) fn decode_row(values: &Argument, scales: &Argument, index: usize, row: &mut [f32]) {
    if let Some(panels) = in_panels(values, row.len()) {
        return panels.decode_row(index, row);
    }
    let first = index * values.cols;
    let scale = |block: usize| f16::from_bits(scales.as_slice::<u16>()[index * scales.cols + block]).to_f32();
    match values.dtype {
        DType::F32 => row.copy_from_slice(&values.as_slice::<f32>()[first..][..row.len()]),
        DType::F16 => {
            for (row, bits) in row.iter_mut().zip(&values.as_slice::<u16>()[first..]) {
                *row = f16_to_f32(*bits);
            }
        }
        DType::Bf16 => {
            for (row, bits) in row.iter_mut().zip(&values.as_slice::<u16>()[first..]) {
                *row = bf16::from_bits(*bits).to_f32();
            }
        }
        DType::I8 => {
            let quants = values.as_slice::<i8>()[first..].chunks_exact(BLOCK);
            for (block, (row, quants)) in row.chunks_exact_mut(BLOCK).zip(quants).enumerate() {
                let scale = scale(block);
                for (row, quant) in row.iter_mut().zip(quants) {
                    *row = scale * *quant as f32;
                }
            }
        }
        DType::Nibbles => {
            let nibbles = values.as_slice::<u8>()[first..].chunks_exact(BLOCK / 2);
            for (block, (row, nibbles)) in row.chunks_exact_mut(BLOCK).zip(nibbles).enumerate() {
                let scale = scale(block);
                let (low, high) = row.split_at_mut(BLOCK / 2);
                for ((low, high), nibble) in low.iter_mut().zip(high).zip(nibbles) {
                    *low = scale * ((nibble & 15) as f32 - 8.0);
                    *high = scale * ((nibble >> 4) as f32 - 8.0);
                }
            }
        }
        DType::Panels8 | DType::Panels4 => unreachable!("decoded above"),
        DType::U32 | DType::Factors => panic!("a weight is never of integers"),
    }
}

/// As `half` has it, but for NaN and infinity, which no weight is; without a branch, so that the compiler can make vectors of
/// it.
#[inline(always)]
fn f16_to_f32(bits: u16) -> f32 {
    // 2¹¹² is what the exponents' biases differ by.
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(bits);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_f16_is_decoded() {
        for value in (0..=u16::MAX).map(f16::from_bits).filter(|value| value.is_finite()) {
            assert_eq!(f16_to_f32(value.to_bits()).to_bits(), value.to_f32().to_bits(), "{value}");
        }
    }
}

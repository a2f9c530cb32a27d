//! A weight matrix in a device's memory, in whatever format it has.

use bytemuck::{AnyBitPattern, NoUninit};
use half::{bf16, f16};

use crate::device::{Device, WeightLayout};
use crate::error::Result;
use crate::panels::{self, Bits, Panels};
use crate::quant::{BLOCK, Format, Matrix, Values};
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
        let d_out = matrices.iter().map(|matrix| matrix.rows).sum();
        let format = ArrivingWeight::format(matrices.iter().map(|matrix| matrix.values.format()));
        let mut weight = ArrivingWeight::new(device, d_out, d_in, format);
        let mut first = 0;
        for matrix in matrices {
            weight.write_rows(device, first, matrix);
            first += matrix.rows;
        }
        weight.finish(device)
    }

    /// The matrix, back from the device, in the format that it has there.
    ///
    /// # Errors
    /// Those of [`Device::read_bytes`].
    pub async fn read(&self, device: &mut Device) -> Result<Matrix> {
        let Weight { d_out, d_in, values, scales } = *self;
        let read = device.read_bytes(&[values, scales]).await?;
        let (bytes, scales) = (&read[0], || bytemuck::pod_collect_to_vec(&read[1]));
        let panels = |bits| Panels { bytes, cols: d_in, bits }.unpack(d_out).values;
        let values = match values.dtype {
            DType::F32 => Values::F32(without_filling(bytes, d_in)),
            DType::F16 => Values::F16(without_filling(bytes, d_in)),
            DType::Bf16 => Values::Bf16(without_filling(bytes, d_in)),
            DType::I8 => Values::Q8_0 { quants: bytemuck::pod_collect_to_vec(bytes), scales: scales() },
            DType::Nibbles => Values::Q4_0 { nibbles: bytes.clone(), scales: scales() },
            DType::Panels8 => panels(Bits::Eight),
            DType::Panels4 => panels(Bits::Four),
            DType::U32 | DType::Factors => panic!("a weight is never of integers"),
        };
        Ok(Matrix { rows: d_out, cols: d_in, values })
    }

    /// The `count` rows that begin at row `first`; whole panels, if it is in them. On a GPU an even number, so that scales begin at
    /// a word.
    pub fn slice_rows(&self, first: usize, count: usize) -> Weight {
        let rows_of = |tensor: &Tensor| match tensor.rows {
            0 => *tensor,
            rows => tensor.slice_rows(first * rows / self.d_out, count * rows / self.d_out),
        };
        Weight { d_out: count, values: rows_of(&self.values), scales: rows_of(&self.scales), ..*self }
    }

    /// Whether it is in [`panels`], by which activations are multiplied rounded.
    pub fn is_in_panels(&self) -> bool {
        matches!(self.values.dtype, DType::Panels8 | DType::Panels4)
    }

    /// Bytes of a weight (d_out, d_in) in the memory of a device with that layout, without the scales of rows; the most there
    /// is, where there are more.
    pub fn value_bytes(layout: WeightLayout, d_out: usize, d_in: usize, format: Format) -> usize {
        let (rows, cols, dtype) = shape(layout, d_out, d_in, format);
        rows.saturating_mul(cols).saturating_mul(dtype.bytes())
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

/// The elements of rows that were filled up to whole blocks.
fn without_filling<T: NoUninit + AnyBitPattern>(bytes: &[u8], d_in: usize) -> Vec<T> {
    let rows = bytes.chunks_exact(d_in.next_multiple_of(BLOCK) * size_of::<T>());
    rows.flat_map(|row| bytemuck::pod_collect_to_vec(&row[..d_in * size_of::<T>()])).collect()
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

/// Rows, columns and elements of a weight's values in a device's memory.
fn shape(layout: WeightLayout, d_out: usize, d_in: usize, format: Format) -> (usize, usize, DType) {
    let padded = d_in.next_multiple_of(BLOCK);
    let panels = d_out.div_ceil(panels::ROWS);
    match (format, layout) {
        (Format::F32, _) => (d_out, padded, DType::F32),
        (Format::F16, _) => (d_out, padded, DType::F16),
        (Format::Bf16, _) => (d_out, padded, DType::Bf16),
        (Format::Q8_0, WeightLayout::Panels) => (panels, Bits::Eight.panel_bytes(d_in), DType::Panels8),
        (Format::Q4_0, WeightLayout::Panels) => (panels, Bits::Four.panel_bytes(d_in), DType::Panels4),
        (Format::Q8_0, WeightLayout::Rows) => (d_out, padded, DType::I8),
        (Format::Q4_0, WeightLayout::Rows) => (d_out, padded / 2, DType::Nibbles),
    }
}

/// A weight whose rows come in any order, each once. They go to the device as they come, so that nothing is in memory twice.
pub struct ArrivingWeight {
    weight: Weight,
    /// Panels of which some rows are still to come.
    panels: Vec<BegunPanel>,
    /// The scales of rows, which are written at the end: on a GPU, those of one row may be half a word.
    scales: Vec<u16>,
}

struct BegunPanel {
    /// Its place among all.
    index: usize,
    bytes: Vec<u8>,
    /// How many rows came.
    came: usize,
}

impl ArrivingWeight {
    /// The format of a weight that is joined of matrices of these formats: theirs if they agree, else f32.
    pub fn format(mut formats: impl Iterator<Item = Format>) -> Format {
        let first = formats.next().unwrap_or(Format::F32);
        if formats.all(|format| format == first) { first } else { Format::F32 }
    }

    /// Memory for a weight (d_out, d_in) of a format.
    pub fn new(device: &mut Device, d_out: usize, d_in: usize, format: Format) -> ArrivingWeight {
        let (rows, cols, dtype) = shape(device.weight_layout(), d_out, d_in, format);
        let values = device.alloc(rows, cols, dtype);
        let scales = match dtype {
            DType::I8 | DType::Nibbles => device.alloc(d_out, d_in / BLOCK, DType::F16),
            _ => Tensor { rows: 0, cols: 0, ..values },
        };
        let weight = Weight { d_out, d_in, values, scales };
        ArrivingWeight { weight, panels: Vec::new(), scales: vec![0; scales.len()] }
    }

    /// Takes the rows from `first` on, in the weight's format; in any, if that is f32.
    pub fn write_rows(&mut self, device: &mut Device, first: usize, rows: &Matrix) {
        let Weight { d_in, values, .. } = self.weight;
        assert_eq!(rows.cols, d_in, "weights of one input differ in d_in");
        match (&rows.values, values.dtype) {
            (_, DType::Panels8) => self.pack(device, first, rows, Bits::Eight),
            (_, DType::Panels4) => self.pack(device, first, rows, Bits::Four),
            (Values::F32(floats), DType::F32) => self.write(device, first, bytemuck::cast_slice(floats)),
            (_, DType::F32) => self.write(device, first, bytemuck::cast_slice(&rows.to_f32())),
            (Values::F16(bits), DType::F16) | (Values::Bf16(bits), DType::Bf16) => {
                self.write(device, first, bytemuck::cast_slice(bits));
            }
            (Values::Q8_0 { quants, scales }, DType::I8) => {
                self.scales[first * (d_in / BLOCK)..][..scales.len()].copy_from_slice(scales);
                self.write(device, first, bytemuck::cast_slice(quants));
            }
            (Values::Q4_0 { nibbles, scales }, DType::Nibbles) => {
                self.scales[first * (d_in / BLOCK)..][..scales.len()].copy_from_slice(scales);
                self.write(device, first, nibbles);
            }
            (values, dtype) => panic!("rows of {} for a weight of {dtype:?}", values.format().name()),
        }
    }

    /// The weight, whose rows have all come.
    pub fn finish(self, device: &mut Device) -> Weight {
        assert!(self.panels.is_empty(), "rows of a weight are missing");
        device.write(&self.weight.scales, &self.scales);
        self.weight
    }

    /// Writes rows of which `bytes` has what counts, filled up with zeros.
    fn write(&self, device: &mut Device, first: usize, bytes: &[u8]) {
        let Weight { d_in, values, .. } = self.weight;
        let padded = values.cols * values.dtype.bytes();
        let length = padded * d_in / d_in.next_multiple_of(BLOCK);
        let rows = values.slice_rows(first, bytes.len() / length);
        if length == padded {
            return device.write(&rows, bytes);
        }
        let mut filled = Vec::with_capacity(rows.byte_len());
        for row in bytes.chunks_exact(length) {
            filled.extend(row);
            filled.resize(filled.len() + padded - length, 0);
        }
        device.write(&rows, &filled);
    }

    /// Puts rows into panels, and those that are whole on the device.
    fn pack(&mut self, device: &mut Device, first: usize, rows: &Matrix, bits: Bits) {
        let Weight { d_out, values, .. } = self.weight;
        let end = first + rows.rows;
        let mut at = first;
        while at < end {
            let panel = at / panels::ROWS;
            let panel_end = ((panel + 1) * panels::ROWS).min(end);
            let begun = self.panels.iter().position(|begun| begun.index == panel);
            let mut begun = match begun {
                Some(place) => self.panels.swap_remove(place),
                None => BegunPanel { index: panel, bytes: vec![0; values.cols], came: 0 },
            };
            let packed = at - first..panel_end - first;
            panels::pack_rows(&mut begun.bytes, bits, at % panels::ROWS, rows, packed);
            begun.came += panel_end - at;
            if begun.came == panels::ROWS.min(d_out - panel * panels::ROWS) {
                device.write(&values.slice_rows(panel, 1), &begun.bytes);
            } else {
                self.panels.push(begun);
            }
            at = panel_end;
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

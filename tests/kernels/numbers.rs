//! Contents for tensors: random and awkward numbers, and weights in every format with what they mean.

use fastrand::Rng;
use gander::quant::{Matrix, Values};
use half::{bf16, f16};

/// What a tensor is filled with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Between −m and m.
    Random(f32),
    /// Between m − 1 and m + 1: numbers with a mean far from zero.
    Around(f32),
    /// The same everywhere. Zeros of both signs too.
    Constant(f32),
}

impl Fill {
    pub fn floats(self, random: &mut Rng, count: usize) -> Vec<f32> {
        let mut between = |from: f32, to: f32| from + (to - from) * random.f32();
        (0..count)
            .map(|_| match self {
                Fill::Random(most) => between(-most, most),
                Fill::Around(middle) => between(middle - 1.0, middle + 1.0),
                Fill::Constant(value) => value,
            })
            .collect()
    }
}

/// The format of a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
}

impl Format {
    pub const ALL: [Format; 5] = [Format::F32, Format::F16, Format::Bf16, Format::Q8_0, Format::Q4_0];

    /// Whether a row may have any number of columns.
    pub fn takes(self, cols: usize) -> bool {
        !matches!(self, Format::Q8_0 | Format::Q4_0) || cols.is_multiple_of(32)
    }

    /// A weight with random contents; every quant and every nibble occurs.
    pub fn matrix(self, random: &mut Rng, rows: usize, cols: usize) -> Matrix {
        let floats = Fill::Random(0.5).floats(random, rows * cols);
        // Down to 1e-6, whose f16 is subnormal.
        let scale = |random: &mut Rng| f16::from_f32([1e-6, 0.004, 0.02, 0.3][random.usize(..4)]).to_bits();
        let values = match self {
            Format::F32 => Values::F32(floats),
            Format::F16 => Values::F16(floats.iter().map(|value| f16::from_f32(*value).to_bits()).collect()),
            Format::Bf16 => {
                Values::Bf16(floats.iter().map(|value| bf16::from_f32(*value).to_bits()).collect())
            }
            Format::Q8_0 => Values::Q8_0 {
                quants: (0..rows * cols).map(|_| random.i8(..)).collect(),
                scales: (0..rows * cols / 32).map(|_| scale(random)).collect(),
            },
            Format::Q4_0 => Values::Q4_0 {
                nibbles: (0..rows * cols / 2).map(|_| random.u8(..)).collect(),
                scales: (0..rows * cols / 32).map(|_| scale(random)).collect(),
            },
        };
        Matrix { rows, cols, values }
    }
}

/// One element of a weight, by the definition of its format. Exact in f32 too.
pub fn element(matrix: &Matrix, row: usize, col: usize) -> f64 {
    let at = row * matrix.cols + col;
    let (block, place) = (at / 32, at % 32);
    match &matrix.values {
        Values::F32(values) => values[at].into(),
        Values::F16(bits) => f16::from_bits(bits[at]).into(),
        Values::Bf16(bits) => bf16::from_bits(bits[at]).into(),
        Values::Q8_0 { quants, scales } => f16::from_bits(scales[block]).to_f64() * f64::from(quants[at]),
        Values::Q4_0 { nibbles, scales } => {
            let byte = nibbles[block * 16 + place % 16];
            let nibble = if place < 16 { byte % 16 } else { byte / 16 };
            f16::from_bits(scales[block]).to_f64() * (f64::from(nibble) - 8.0)
        }
    }
}

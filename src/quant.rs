//! Weight matrices as files hold them: plain floats, or blocks of 32 small integers with one scale.

use half::{bf16, f16};

/// A row-major matrix (rows, cols) in one of the formats that gander computes with.
///
/// Weights are (d_out, d_in), as PyTorch stores them: a row is what one output is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows, d_out of a weight.
    pub rows: usize,
    /// Number of columns, d_in of a weight. A multiple of 32 for the quantised formats.
    pub cols: usize,
    /// The values, row after row.
    pub values: Values,
}

/// The values of a [`Matrix`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Bits of 16-bit IEEE floats.
    F16(Vec<u16>),
    /// Bits of bfloat16.
    Bf16(Vec<u16>),
    /// `weight = scale · quant` in blocks of 32 along a row.
    Q8_0 {
        /// (rows, cols)
        quants: Vec<i8>,
        /// (rows, cols / 32), bits of f16
        scales: Vec<u16>,
    },
    /// `weight = scale · (nibble − 8)` in blocks of 32 along a row. Byte j of a block holds element j in
    /// its low half and element j + 16 in its high half.
    Q4_0 {
        /// (rows, cols / 2)
        nibbles: Vec<u8>,
        /// (rows, cols / 32), bits of f16
        scales: Vec<u16>,
    },
}

/// Weights that share one scale in Q8_0 and Q4_0.
pub const BLOCK: usize = 32;

impl Matrix {
    /// Bytes that the values take in memory, and in a file.
    pub fn byte_len(&self) -> usize {
        match &self.values {
            Values::F32(values) => 4 * values.len(),
            Values::F16(bits) | Values::Bf16(bits) => 2 * bits.len(),
            Values::Q8_0 { quants, scales } => quants.len() + 2 * scales.len(),
            Values::Q4_0 { nibbles, scales } => nibbles.len() + 2 * scales.len(),
        }
    }

    /// Every weight as f32, row after row: exact for floats, `scale · quant` for blocks.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F16(bits) => bits.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect(),
            Values::Bf16(bits) => bits.iter().map(|&bits| bf16::from_bits(bits).to_f32()).collect(),
            Values::Q8_0 { quants, scales } => {
                let blocks = quants.chunks_exact(BLOCK).zip(scales);
                blocks
                    .flat_map(|(block, &scale)| {
                        let scale = f16::from_bits(scale).to_f32();
                        block.iter().map(move |&quant| scale * f32::from(quant))
                    })
                    .collect()
            }
            Values::Q4_0 { nibbles, scales } => {
                let blocks = nibbles.chunks_exact(BLOCK / 2).zip(scales);
                blocks
                    .flat_map(|(block, &scale)| {
                        let scale = f16::from_bits(scale).to_f32();
                        let low = block.iter().map(|byte| byte & 15);
                        let high = block.iter().map(|byte| byte >> 4);
                        low.chain(high).map(move |nibble| scale * (f32::from(nibble) - 8.0))
                    })
                    .collect()
            }
        }
    }

    /// The (row, column) of the first weight that is NaN or infinite; of its block, where a scale is.
    pub fn first_not_finite(&self) -> Option<(usize, usize)> {
        let at = match &self.values {
            Values::F32(values) => values.iter().position(|value| !value.is_finite()),
            Values::F16(bits) => bits.iter().position(|&bits| !f16::from_bits(bits).is_finite()),
            Values::Bf16(bits) => bits.iter().position(|&bits| !bf16::from_bits(bits).is_finite()),
            Values::Q8_0 { scales, .. } | Values::Q4_0 { scales, .. } => {
                scales.iter().position(|&bits| !f16::from_bits(bits).is_finite()).map(|block| block * BLOCK)
            }
        }?;
        Some((at / self.cols, at % self.cols))
    }
}

impl Values {
    /// The format's name, as GGUF spells it.
    pub fn format(&self) -> &'static str {
        match self {
            Values::F32(_) => "F32",
            Values::F16(_) => "F16",
            Values::Bf16(_) => "BF16",
            Values::Q8_0 { .. } => "Q8_0",
            Values::Q4_0 { .. } => "Q4_0",
        }
    }

    /// Rounds to f16, to nearest, ties to even. What is beyond 65504 becomes infinite.
    pub fn f16_from(weights: &[f32]) -> Values {
        Values::F16(weights.iter().map(|&weight| f16::from_f32(weight).to_bits()).collect())
    }

    /// Rounds to Q8_0 bit for bit as ggml's `quantize_row_q8_0_ref`: the largest magnitude of a block becomes ±127.
    ///
    /// The length of `weights` is a multiple of 32.
    pub fn q8_0_from(weights: &[f32]) -> Values {
        assert_eq!(weights.len() % BLOCK, 0, "q8_0_from: {} weights are not whole blocks", weights.len());
        let mut quants = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(weights.len() / BLOCK);
        for block in weights.chunks_exact(BLOCK) {
            let largest = block.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let scale = largest / 127.0;
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            scales.push(f16::from_f32(scale).to_bits());
            // The reference divides by the f32 scale, not by the f16 one that it stores.
            quants.extend(block.iter().map(|weight| (weight * inverse).round() as i8));
        }
        Values::Q8_0 { quants, scales }
    }

    /// Rounds to Q4_0 bit for bit as ggml's `quantize_row_q4_0_ref`: the weight of largest magnitude becomes −8.
    ///
    /// The length of `weights` is a multiple of 32.
    pub fn q4_0_from(weights: &[f32]) -> Values {
        assert_eq!(weights.len() % BLOCK, 0, "q4_0_from: {} weights are not whole blocks", weights.len());
        let mut nibbles = Vec::with_capacity(weights.len() / 2);
        let mut scales = Vec::with_capacity(weights.len() / BLOCK);
        for block in weights.chunks_exact(BLOCK) {
            // The first of equal magnitudes decides the sign, as in the reference.
            let largest = block
                .iter()
                .fold(0.0f32, |largest, &weight| if weight.abs() > largest.abs() { weight } else { largest });
            let scale = largest / -8.0;
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            scales.push(f16::from_f32(scale).to_bits());
            // Truncation of x + 8.5 rounds halves up; +8 of the opposite sign would be 16 and is cut to 15.
            let nibble = |weight: f32| ((weight * inverse + 8.5) as i8).clamp(0, 15) as u8;
            let (low, high) = block.split_at(BLOCK / 2);
            nibbles.extend(low.iter().zip(high).map(|(&low, &high)| nibble(low) | nibble(high) << 4));
        }
        Values::Q4_0 { nibbles, scales }
    }
}

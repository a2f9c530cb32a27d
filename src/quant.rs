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

/// Which of [`Values`] a matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the variant of Values that it is named after")]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
}

/// Weights that share one scale in Q8_0 and Q4_0.
pub const BLOCK: usize = 32;

impl Matrix {
    /// A matrix whose rows are still to come. For the quantised formats, `cols` is a multiple of 32.
    pub fn zeroed(rows: usize, cols: usize, format: Format) -> Matrix {
        let len = rows * cols;
        let values = match format {
            Format::F32 => Values::F32(vec![0.0; len]),
            Format::F16 => Values::F16(vec![0; len]),
            Format::Bf16 => Values::Bf16(vec![0; len]),
            Format::Q8_0 => Values::Q8_0 { quants: vec![0; len], scales: vec![0; len / BLOCK] },
            Format::Q4_0 => Values::Q4_0 { nibbles: vec![0; len / 2], scales: vec![0; len / BLOCK] },
        };
        Matrix { rows, cols, values }
    }

    /// Replaces the rows from `first` on by those of a matrix of the same width and format.
    pub fn write_rows(&mut self, first: usize, rows: &Matrix) {
        assert_eq!(rows.cols, self.cols, "write_rows: columns");
        let (at, block) = (first * self.cols, first * self.cols / BLOCK);
        match (&mut self.values, &rows.values) {
            (Values::F32(to), Values::F32(from)) => to[at..][..from.len()].copy_from_slice(from),
            (Values::F16(to), Values::F16(from)) | (Values::Bf16(to), Values::Bf16(from)) => {
                to[at..][..from.len()].copy_from_slice(from);
            }
            (Values::Q8_0 { quants: to, scales }, Values::Q8_0 { quants: from, scales: new }) => {
                to[at..][..from.len()].copy_from_slice(from);
                scales[block..][..new.len()].copy_from_slice(new);
            }
            (Values::Q4_0 { nibbles: to, scales }, Values::Q4_0 { nibbles: from, scales: new }) => {
                to[at / 2..][..from.len()].copy_from_slice(from);
                scales[block..][..new.len()].copy_from_slice(new);
            }
            (to, from) => panic!("rows of {} for a matrix of {}", from.format().name(), to.format().name()),
        }
    }

    /// So many rows, from `first` on.
    pub fn rows(&self, first: usize, count: usize) -> Matrix {
        let (at, len) = (first * self.cols, count * self.cols);
        let scales_of = |scales: &[u16]| scales[at / BLOCK..][..len / BLOCK].to_vec();
        let values = match &self.values {
            Values::F32(values) => Values::F32(values[at..][..len].to_vec()),
            Values::F16(bits) => Values::F16(bits[at..][..len].to_vec()),
            Values::Bf16(bits) => Values::Bf16(bits[at..][..len].to_vec()),
            Values::Q8_0 { quants, scales } => {
                Values::Q8_0 { quants: quants[at..][..len].to_vec(), scales: scales_of(scales) }
            }
            Values::Q4_0 { nibbles, scales } => {
                Values::Q4_0 { nibbles: nibbles[at / 2..][..len / 2].to_vec(), scales: scales_of(scales) }
            }
        };
        Matrix { rows: count, cols: self.cols, values }
    }

    /// Bytes that the values take in memory, and in a file.
    pub fn byte_len(&self) -> usize {
        self.values.format().bytes(self.rows * self.cols)
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

impl Format {
    /// The format's name, as GGUF spells it.
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::Bf16 => "BF16",
            Format::Q8_0 => "Q8_0",
            Format::Q4_0 => "Q4_0",
        }
    }

    /// Bytes of so many weights, whole blocks of them.
    pub fn bytes(self, weights: usize) -> usize {
        match self {
            Format::F32 => 4 * weights,
            Format::F16 | Format::Bf16 => 2 * weights,
            Format::Q8_0 => weights + weights / BLOCK * 2,
            Format::Q4_0 => weights / 2 + weights / BLOCK * 2,
        }
    }
}

impl Values {
    /// Which format this is.
    pub fn format(&self) -> Format {
        match self {
            Values::F32(_) => Format::F32,
            Values::F16(_) => Format::F16,
            Values::Bf16(_) => Format::Bf16,
            Values::Q8_0 { .. } => Format::Q8_0,
            Values::Q4_0 { .. } => Format::Q4_0,
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

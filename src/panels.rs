//! Weights of Q8_0 and Q4_0 as a CPU multiplies with them: in panels of 16 rows, packed once when they are loaded, by
//! activations that are rounded to 16 bits in blocks of 32.
//!
//! ```text
//! panel   16 rows of the weight; block after block along the columns
//! block   16 scales (f32), then for each four columns (Q4_0: four and the four that are 16 further on) 16 rows × 4 bytes
//! ```
//!
//! So one vector holds four columns of several rows, four activations are broadcast, and what is summed up are
//! the rows themselves: nothing is added across a vector. Bytes are stored without a sign, plus 128 (Q4_0: plus 8, in
//! four bits), since that is what x86's and WebAssembly's dot products want; `Σ a` of each block takes it out again.
//!
//! Every processor gives the same bits: the sum of a block is a whole number below 2³¹, and the blocks' floats are
//! multiplied and added in the order of the columns, without fused operations. It depends on nothing else, on how many
//! tokens are computed together least of all.

mod activations;
#[cfg(target_arch = "aarch64")]
pub(crate) mod arm;
mod factors;
pub(crate) mod plain;
#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
pub(crate) mod relaxed;
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasm;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

pub(crate) use activations::Form;
pub use activations::{Activations, Block};
pub use factors::Factor;

use std::ops::Range;

use half::f16;

use crate::processor::Processor;
use crate::quant::{BLOCK, Format, Matrix, Values};

/// Rows of a panel.
pub const ROWS: usize = 16;
/// Columns whose bytes lie together.
const QUAD: usize = 4;
/// From so many tokens on, it pays to widen a panel before it is multiplied, on processors where it ever does.
const WIDENED_FROM: usize = 8;
/// Bytes of four columns.
const QUAD_BYTES: usize = ROWS * QUAD;
/// Bytes of a block's scales.
const SCALE_BYTES: usize = ROWS * size_of::<f32>();

/// How many bits a weight has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// Q8_0.
    Eight,
    /// Q4_0.
    Four,
}

impl Bits {
    /// Bytes of a block of a panel.
    const fn block_bytes(self) -> usize {
        let quads = match self {
            Bits::Eight => BLOCK / QUAD,
            Bits::Four => BLOCK / QUAD / 2,
        };
        SCALE_BYTES + quads * QUAD_BYTES
    }

    /// What is added to a weight to store it.
    const fn offset(self) -> i32 {
        match self {
            Bits::Eight => 128,
            Bits::Four => 8,
        }
    }

    /// Bytes of a panel of `cols` columns.
    pub const fn panel_bytes(self, cols: usize) -> usize {
        cols / BLOCK * self.block_bytes()
    }
}

/// A packed weight.
#[derive(Debug, Clone, Copy)]
pub struct Panels<'a> {
    /// One panel after another; the last is filled up with zeros.
    pub bytes: &'a [u8],
    /// Number of columns, d_in: a multiple of 32.
    pub cols: usize,
    /// The weights' format.
    pub bits: Bits,
}

/// Packs the rows of matrices that are all Q8_0 or all Q4_0 and equally wide, one after another.
pub fn pack(matrices: &[&Matrix], bits: Bits) -> Vec<u8> {
    let rows: usize = matrices.iter().map(|matrix| matrix.rows).sum();
    let mut packed = vec![0; rows.div_ceil(ROWS) * bits.panel_bytes(matrices[0].cols)];
    let mut first = 0;
    for matrix in matrices {
        pack_rows(&mut packed, bits, first, matrix, 0..matrix.rows);
        first += matrix.rows;
    }
    packed
}

/// Packs some rows of a matrix of Q8_0 or Q4_0 into the places of the rows from `first` on. `panels` are whole panels of that
/// width.
pub fn pack_rows(panels: &mut [u8], bits: Bits, first: usize, matrix: &Matrix, rows: Range<usize>) {
    let blocks = matrix.cols / BLOCK;
    let panel_bytes = bits.panel_bytes(matrix.cols);
    for (row, index) in rows.zip(first..) {
        let panel = &mut panels[index / ROWS * panel_bytes..][..panel_bytes];
        for (block, packed) in panel.chunks_exact_mut(bits.block_bytes()).enumerate() {
            let at = row * blocks + block;
            let (packed_scales, quads) = packed.split_at_mut(SCALE_BYTES);
            let quads =
                quads.chunks_exact_mut(QUAD_BYTES).map(|quad| &mut quad[index % ROWS * QUAD..][..QUAD]);
            let scale = match &matrix.values {
                Values::Q8_0 { quants, scales } if bits == Bits::Eight => {
                    for (quad, quants) in quads.zip(quants[at * BLOCK..].chunks_exact(QUAD)) {
                        quad.copy_from_slice(&[0, 1, 2, 3].map(|place| (quants[place] as u8) ^ 0x80));
                    }
                    scales[at]
                }
                Values::Q4_0 { nibbles, scales } if bits == Bits::Four => {
                    for (quad, nibbles) in quads.zip(nibbles[at * BLOCK / 2..].chunks_exact(QUAD)) {
                        quad.copy_from_slice(nibbles);
                    }
                    scales[at]
                }
                values => panic!("{} among panels of {bits:?} bits", values.format().name()),
            };
            let scale = f16::from_bits(scale).to_f32();
            packed_scales[index % ROWS * 4..][..4].copy_from_slice(&scale.to_ne_bytes());
        }
    }
}

impl<'a> Panels<'a> {
    /// Block by block of row `index`: its scale, and its bytes, four columns at a time.
    #[inline(always)]
    fn blocks_of_row(&self, index: usize) -> impl Iterator<Item = (f32, impl Iterator<Item = &'a [u8]>)> {
        let Panels { bytes, cols, bits } = *self;
        let panel = &bytes[index / ROWS * bits.panel_bytes(cols)..][..bits.panel_bytes(cols)];
        let lane = index % ROWS;
        panel.chunks_exact(bits.block_bytes()).map(move |block| {
            let (scales, quads) = block.split_at(SCALE_BYTES);
            let scale: f32 = bytemuck::pod_read_unaligned(&scales[4 * lane..][..4]);
            (scale, quads.chunks_exact(QUAD_BYTES).map(move |quad| &quad[lane * QUAD..][..QUAD]))
        })
    }

    /// The first `rows` rows as a matrix: [`pack`], undone.
    pub fn unpack(&self, rows: usize) -> Matrix {
        let format = match self.bits {
            Bits::Eight => Format::Q8_0,
            Bits::Four => Format::Q4_0,
        };
        let mut matrix = Matrix::zeroed(rows, self.cols, format);
        let blocks = (0..rows).flat_map(|row| self.blocks_of_row(row));
        for (at, (scale, quads)) in blocks.enumerate() {
            let scales = match &mut matrix.values {
                Values::Q8_0 { quants, scales } => {
                    for (quants, quad) in quants[at * BLOCK..].chunks_exact_mut(QUAD).zip(quads) {
                        quants.iter_mut().zip(quad).for_each(|(quant, byte)| *quant = (byte ^ 0x80) as i8);
                    }
                    scales
                }
                Values::Q4_0 { nibbles, scales } => {
                    for (nibbles, quad) in nibbles[at * BLOCK / 2..].chunks_exact_mut(QUAD).zip(quads) {
                        nibbles.copy_from_slice(quad);
                    }
                    scales
                }
                _ => unreachable!("panels are Q8_0 or Q4_0"),
            };
            // It was an f16.
            scales[at] = f16::from_f32(scale).to_bits();
        }
        matrix
    }

    /// So many rows, a multiple of 16, and so many more, and so on.
    pub fn chunks(&self, rows: usize) -> impl Iterator<Item = Panels<'a>> {
        let Panels { bytes, cols, bits } = *self;
        bytes.chunks(rows / ROWS * bits.panel_bytes(cols)).map(move |bytes| Panels { bytes, cols, bits })
    }

    /// Row `index` as floats. `row` has as many elements as there are columns.
    pub fn decode_row(&self, index: usize, row: &mut [f32]) {
        for (row, (scale, quads)) in row.chunks_exact_mut(BLOCK).zip(self.blocks_of_row(index)) {
            let value = |byte: u8| scale * (i32::from(byte) - self.bits.offset()) as f32;
            let bytes = quads.flatten();
            match self.bits {
                Bits::Eight => row.iter_mut().zip(bytes).for_each(|(weight, byte)| *weight = value(*byte)),
                Bits::Four => {
                    let (low, high) = row.split_at_mut(BLOCK / 2);
                    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
                        (*low, *high) = (value(byte & 15), value(byte >> 4));
                    }
                }
            }
        }
    }

    /// Number of rows, those that fill the last panel up included.
    pub fn rows(&self) -> usize {
        self.bytes.len() / self.bits.panel_bytes(self.cols) * ROWS
    }

    /// Every row times every token. `output` is given a token's index, the index of a row, and the sums of that row and of
    /// those that follow it in its panel; rows beyond the weight's last have sums too. `room` is kept from one use to the next.
    #[inline(always)]
    pub fn multiply(
        &self,
        activations: &Activations,
        processor: Processor,
        room: &mut Vec<u8>,
        mut output: impl FnMut(usize, usize, &[f32; ROWS]),
    ) {
        assert_eq!(activations.cols(), self.cols, "columns of panels and of activations");
        assert_eq!(activations.form(), processor.form(), "how {processor:?} wants activations");
        let tokens = activations.tokens();
        for (index, panel) in self.bytes.chunks_exact(self.bits.panel_bytes(self.cols)).enumerate() {
            let row = index * ROWS;
            // A panel stays in the first cache while all tokens go by, a few at a time.
            if tokens >= WIDENED_FROM {
                room.resize(factors::panel_bytes(self.cols), 0);
                if processor.widen(panel, self.bits, room) {
                    let token = |index| activations.token(index);
                    let widened = Factor::of_panel(room, self.cols);
                    widened.multiply(tokens, token, processor, |token, _, sums| output(token, row, sums));
                    continue;
                }
            }
            let mut token = 0;
            while token < tokens {
                let most = processor.most_tokens().min(tokens - token);
                let done = match most {
                    8.. => self.tile::<8>(panel, activations, processor, token, row, &mut output),
                    4.. => self.tile::<4>(panel, activations, processor, token, row, &mut output),
                    2.. => self.tile::<2>(panel, activations, processor, token, row, &mut output),
                    _ => self.tile::<1>(panel, activations, processor, token, row, &mut output),
                };
                token += done;
            }
        }
    }

    #[inline(always)]
    fn tile<const TOKENS: usize>(
        &self,
        panel: &[u8],
        activations: &Activations,
        processor: Processor,
        token: usize,
        row: usize,
        output: &mut impl FnMut(usize, usize, &[f32; ROWS]),
    ) -> usize {
        let blocks = std::array::from_fn(|index| activations.token(token + index));
        let sums: [[f32; ROWS]; TOKENS] = processor.multiply(panel, self.bits, blocks);
        for (index, sums) in sums.iter().enumerate() {
            output(token + index, row, sums);
        }
        TOKENS
    }
}

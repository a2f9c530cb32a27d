//! LoRA factors as a CPU multiplies with them: in panels of 16 rows too, of 14 bits, by activations of 14 bits.
//!
//! ```text
//! panel   16 rows of the factor, the last filled up with zeros; block after block along the columns
//! block   16 scales (f32), then for each two of up to 32 columns 16 rows × 2 columns of i16
//! ```
//!
//! A factor's rank is one of its sides and small, so blocks end where it ends. With 14 bits and a scale for every 32 weights,
//! less is lost than with f16, and 32 products are a whole number below 2³¹: a block's sum is exact, and the same on every
//! processor. An instruction that multiplies 16 by 16 bits is all it takes.

use super::activations::LARGEST_OF_FACTORS;
use super::{Block, ROWS, SCALE_BYTES};
use crate::processor::Processor;
use crate::quant::BLOCK;

/// Columns that lie together.
const PAIR: usize = 2;
/// Bytes of two columns.
pub(super) const PAIR_BYTES: usize = ROWS * PAIR * size_of::<i16>();
/// Bytes of a block of 32 columns.
pub(super) const FACTOR_BLOCK_BYTES: usize = block_bytes(BLOCK);

/// Bytes of a block of up to 32 columns.
const fn block_bytes(cols: usize) -> usize {
    SCALE_BYTES + cols.div_ceil(PAIR) * PAIR_BYTES
}

/// Bytes of a panel of `cols` columns.
pub(super) const fn panel_bytes(cols: usize) -> usize {
    let rest = if cols.is_multiple_of(BLOCK) { 0 } else { block_bytes(cols % BLOCK) };
    cols / BLOCK * FACTOR_BLOCK_BYTES + rest
}

/// A packed factor (rows, cols).
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// One panel after another.
    bytes: &'a [u8],
    cols: usize,
}

impl<'a> Factor<'a> {
    /// Words of 32 bits that a factor takes.
    pub const fn words(rows: usize, cols: usize) -> usize {
        rows.div_ceil(ROWS) * panel_bytes(cols) / size_of::<u32>()
    }

    /// The factor (rows, cols) that begins with these words.
    pub fn new(words: &'a [u32], rows: usize, cols: usize) -> Factor<'a> {
        Factor { bytes: bytemuck::cast_slice(&words[..Factor::words(rows, cols)]), cols }
    }

    /// Appends floats (rows, cols), packed.
    pub fn pack(floats: &[f32], cols: usize, words: &mut Vec<u32>) {
        let rows = floats.len() / cols;
        let first = words.len();
        words.resize(first + Factor::words(rows, cols), 0);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words[first..]);
        for (index, row) in floats.chunks_exact(cols).enumerate() {
            let panel = &mut bytes[index / ROWS * panel_bytes(cols)..][..panel_bytes(cols)];
            for (floats, block) in row.chunks(BLOCK).zip(panel.chunks_mut(FACTOR_BLOCK_BYTES)) {
                let largest = floats.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                let scale = largest / f32::from(LARGEST_OF_FACTORS);
                // What is smaller is rounded to zero: its inverse would be infinite.
                let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
                let (scales, quants) = block.split_at_mut(SCALE_BYTES);
                let lane = index % ROWS;
                scales[4 * lane..][..4].copy_from_slice(&scale.to_ne_bytes());
                for (col, x) in floats.iter().enumerate() {
                    let quant = (x * inverse).round_ties_even() as i16;
                    let at = col / PAIR * PAIR_BYTES + (lane * PAIR + col % PAIR) * size_of::<i16>();
                    quants[at..][..2].copy_from_slice(&quant.to_ne_bytes());
                }
            }
        }
    }

    /// Every row times each of `count` tokens: `token` has their blocks, whole, and may have more of them than the factor has
    /// columns. `output` is given a token's index, the index of a row, and the sums of that row and of those that follow it in
    /// its panel.
    #[inline(always)]
    pub fn multiply<'t>(
        &self,
        count: usize,
        token: impl Fn(usize) -> &'t [Block],
        processor: Processor,
        mut output: impl FnMut(usize, usize, &[f32; ROWS]),
    ) {
        let mut first = 0;
        while first < count {
            first += match processor.most_tokens().min(count - first) {
                8.. => self.tile::<8>(first, &token, processor, &mut output),
                4.. => self.tile::<4>(first, &token, processor, &mut output),
                2.. => self.tile::<2>(first, &token, processor, &mut output),
                _ => self.tile::<1>(first, &token, processor, &mut output),
            };
        }
    }

    /// Every row times some tokens: these are found once, and a factor is small enough to be read for each few of them.
    #[inline(always)]
    fn tile<'t, const TOKENS: usize>(
        &self,
        first: usize,
        token: impl Fn(usize) -> &'t [Block],
        processor: Processor,
        output: &mut impl FnMut(usize, usize, &[f32; ROWS]),
    ) -> usize {
        let tokens = std::array::from_fn(|index| token(first + index));
        for (index, panel) in self.bytes.chunks_exact(panel_bytes(self.cols)).enumerate() {
            let sums: [[f32; ROWS]; TOKENS] = processor.multiply_factor(panel, tokens);
            for (token, sums) in sums.iter().enumerate() {
                output(first + token, index * ROWS, sums);
            }
        }
        TOKENS
    }

    /// One panel of `cols` columns.
    pub(super) fn of_panel(bytes: &'a [u8], cols: usize) -> Factor<'a> {
        Factor { bytes, cols }
    }
}

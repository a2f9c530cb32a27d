//! Tiles for WebAssembly's vectors of 128 bits. Not inlined: each is called from several places, and pages load every copy.

use std::arch::wasm32::*;

use bytemuck::{cast, pod_read_unaligned};

use super::factors::{FACTOR_BLOCK_BYTES, PAIR_BYTES};
use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// Vectors of four rows; of each row the bytes of the even columns are masked out and those of the odd ones shifted down, which makes
/// 16 bits of them where they are. An instruction is eight products, summed in pairs: two columns of four rows.
#[inline(never)]
pub fn multiply<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match bits {
        Bits::Eight => multiply_of::<TOKENS, false>(panel, tokens),
        Bits::Four => multiply_of::<TOKENS, true>(panel, tokens),
    }
}

fn multiply_of<const TOKENS: usize, const FOUR: bool>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let mut totals = [[f32x4_splat(0.0); 4]; TOKENS];
    for (index, block) in panel.chunks_exact(bits.block_bytes()).enumerate() {
        let blocks = tokens.map(|token| &token[index]);
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let (quads, _) = quads.as_chunks::<QUAD_BYTES>();
        let mut dots = blocks.map(|block| [i32x4_splat(-bits.offset() * block.sum); 4]);
        for (place, quad) in quads.iter().enumerate() {
            let words = |place: usize| blocks.map(|block| i32x4_splat(cast(block.words[place])));
            let low = [words(2 * place), words(2 * place + 1)];
            let high = [words((2 * place + 8) % 16), words((2 * place + 9) % 16)];
            let (groups, _) = quad.as_chunks::<16>();
            for (group, rows) in groups.iter().enumerate() {
                let [low_columns, high_columns] = widened_columns::<FOUR>(pod_read_unaligned(rows));
                for token in 0..TOKENS {
                    let dots = &mut dots[token][group];
                    for parity in 0..2 {
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(low_columns[parity], low[parity][token]));
                        if FOUR {
                            *dots =
                                i32x4_add(*dots, i32x4_dot_i16x8(high_columns[parity], high[parity][token]));
                        }
                    }
                }
            }
        }
        let scales: [v128; 4] = pod_read_unaligned(scales);
        add_blocks(&mut totals, dots, scales, blocks);
    }
    totals.map(cast)
}

/// Four columns of four rows in 16 bits: those of the low nibbles, if the weights have such, and those of the high ones; of each the even
/// columns, then the odd ones.
#[inline(always)]
fn widened_columns<const FOUR: bool>(rows: v128) -> [[v128; 2]; 2] {
    if FOUR {
        let nibble = u16x8_splat(15);
        let low = [v128_and(rows, nibble), v128_and(u16x8_shr(rows, 8), nibble)];
        [low, [v128_and(u16x8_shr(rows, 4), nibble), u16x8_shr(rows, 12)]]
    } else {
        let columns = [v128_and(rows, u16x8_splat(255)), u16x8_shr(rows, 8)];
        [columns, columns]
    }
}

/// The sums of a block, four rows of each token after the other, are added to those of the blocks before it.
#[inline(always)]
fn add_blocks<const TOKENS: usize>(
    totals: &mut [[v128; 4]; TOKENS],
    dots: [[v128; 4]; TOKENS],
    scales: [v128; 4],
    blocks: [&Block; TOKENS],
) {
    for ((totals, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
        for ((total, dots), scales) in totals.iter_mut().zip(dots).zip(scales) {
            add_block(total, dots, scales, block);
        }
    }
}

/// Of four rows.
#[inline(always)]
pub(super) fn add_block(total: &mut v128, dots: v128, scales: v128, block: &Block) {
    let scales = f32x4_mul(scales, f32x4_splat(block.scale));
    *total = f32x4_add(*total, f32x4_mul(f32x4_convert_i32x4(dots), scales));
}

/// A panel as a factor's panel has it: 16 bits, signed, two columns of a row together. To multiply with that takes fewer
/// instructions, and for many tokens it is made once.
#[inline(never)]
pub fn widen(panel: &[u8], bits: Bits, widened: &mut [u8]) {
    match bits {
        Bits::Eight => widen_of::<false>(panel, widened),
        Bits::Four => widen_of::<true>(panel, widened),
    }
}

fn widen_of<const FOUR: bool>(panel: &[u8], widened: &mut [u8]) {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let offset = i16x8_splat(bits.offset() as i16);
    let blocks = panel.chunks_exact(bits.block_bytes());
    for (block, widened) in blocks.zip(widened.chunks_exact_mut(FACTOR_BLOCK_BYTES)) {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let (widened_scales, pairs) = widened.split_at_mut(SCALE_BYTES);
        widened_scales.copy_from_slice(scales);
        let mut put = |place: usize, group: usize, columns: [v128; 2]| {
            for (parity, columns) in columns.into_iter().enumerate() {
                let at = (2 * place + parity) * PAIR_BYTES + group * 16;
                pairs[at..][..16].copy_from_slice(bytemuck::bytes_of(&i16x8_sub(columns, offset)));
            }
        };
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            for (group, rows) in quad.chunks_exact(16).enumerate() {
                let [low, high] = widened_columns::<FOUR>(pod_read_unaligned(rows));
                put(place, group, low);
                if FOUR {
                    put(place + 4, group, high);
                }
            }
        }
    }
}

/// Vectors of four rows of a factor; an instruction is eight products, summed in pairs.
#[inline(never)]
pub fn multiply_factor<const TOKENS: usize>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let mut totals = [[f32x4_splat(0.0); 4]; TOKENS];
    for (index, block) in panel.chunks(FACTOR_BLOCK_BYTES).enumerate() {
        let (scales, pairs) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        let mut dots = [[i32x4_splat(0); 4]; TOKENS];
        for (place, pair) in pairs.chunks_exact(PAIR_BYTES).enumerate() {
            let weights: [v128; 4] = pod_read_unaligned(pair);
            for (dots, block) in dots.iter_mut().zip(blocks) {
                let quants = i32x4_splat(cast(block.words[place]));
                for (dots, weights) in dots.iter_mut().zip(weights) {
                    *dots = i32x4_add(*dots, i32x4_dot_i16x8(weights, quants));
                }
            }
        }
        let scales: [v128; 4] = pod_read_unaligned(scales);
        add_blocks(&mut totals, dots, scales, blocks);
    }
    totals.map(cast)
}

/// `a · b` in sixteen sums, added in the order of [`kernels`](crate::kernels). What is longer than a multiple of sixteen is not
/// looked at.
#[inline(never)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [f32x4_splat(0.0); 4];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        let (a, b): ([v128; 4], [v128; 4]) = (cast(*a), cast(*b));
        for quarter in 0..4 {
            sums[quarter] = f32x4_add(sums[quarter], f32x4_mul(a[quarter], b[quarter]));
        }
    }
    let eight = [f32x4_add(sums[0], sums[2]), f32x4_add(sums[1], sums[3])];
    let four = f32x4_add(eight[0], eight[1]);
    let two = f32x4_add(four, i32x4_shuffle::<2, 3, 0, 1>(four, four));
    f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
}

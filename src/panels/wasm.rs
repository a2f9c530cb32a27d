//! Tiles for WebAssembly's vectors of 128 bits. Not inlined: each is called from several places, and pages load every copy.

use std::arch::wasm32::*;

use bytemuck::{cast, pod_read_unaligned};

use super::factors::{FACTOR_BLOCK_BYTES, PAIR_BYTES};
use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// Vectors of two rows, widened to 16 bits; an instruction is eight products, summed in pairs, and the two pairs of a row
/// are added at the end of a block.
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
        // There are registers for eight sums.
        if TOKENS == 1 {
            add_rows::<TOKENS, 8, FOUR>(block, blocks, 0, &mut totals);
        } else {
            add_rows::<TOKENS, 4, FOUR>(block, blocks, 0, &mut totals);
            add_rows::<TOKENS, 4, FOUR>(block, blocks, 4, &mut totals);
        }
    }
    totals.map(cast)
}

/// Of one block, two rows for each of some groups.
#[inline(always)]
fn add_rows<const TOKENS: usize, const GROUPS: usize, const FOUR: bool>(
    block: &[u8],
    blocks: [&Block; TOKENS],
    first_group: usize,
    totals: &mut [[v128; 4]; TOKENS],
) {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let low_nibble = u16x8_splat(15);
    let (scales, quads) = block.split_at(SCALE_BYTES);
    let (quads, _) = quads.as_chunks::<QUAD_BYTES>();
    let mut dots = [[i32x4_splat(0); GROUPS]; TOKENS];
    for (place, quad) in quads.iter().enumerate() {
        let low = blocks.map(|block| i64x2_splat(cast(block.quad(place))));
        let high = blocks.map(|block| i64x2_splat(cast(block.quad((place + 4) % 8))));
        let (rows, _) = quad.as_chunks::<16>();
        for (pair, rows) in rows[first_group / 2..][..GROUPS / 2].iter().enumerate() {
            let rows: v128 = pod_read_unaligned(rows);
            let groups = [u16x8_extend_low_u8x16(rows), u16x8_extend_high_u8x16(rows)];
            for (half, weights) in groups.into_iter().enumerate() {
                for token in 0..TOKENS {
                    let dots = &mut dots[token][2 * pair + half];
                    if FOUR {
                        let lower = v128_and(weights, low_nibble);
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(lower, low[token]));
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(u16x8_shr(weights, 4), high[token]));
                    } else {
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(weights, low[token]));
                    }
                }
            }
        }
    }
    for token in 0..TOKENS {
        let offset = i32x4_splat(-bits.offset() * blocks[token].sum);
        for pair in 0..GROUPS / 2 {
            let [a, b] = [dots[token][2 * pair], dots[token][2 * pair + 1]];
            let pairs = i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
            let rows = f32x4_convert_i32x4(i32x4_add(pairs, offset));
            let group = first_group / 2 + pair;
            let scales: v128 = pod_read_unaligned(&scales[16 * group..][..16]);
            let scales = f32x4_mul(scales, f32x4_splat(blocks[token].scale));
            totals[token][group] = f32x4_add(totals[token][group], f32x4_mul(rows, scales));
        }
    }
}

/// A panel as a factor's panel has it: 16 bits, signed, two columns of a row together. To multiply with that takes two thirds of
/// the instructions, and for many tokens it is made once.
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
    let low_nibble = u16x8_splat(15);
    let blocks = panel.chunks_exact(bits.block_bytes());
    for (block, widened) in blocks.zip(widened.chunks_exact_mut(FACTOR_BLOCK_BYTES)) {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let (widened_scales, pairs) = widened.split_at_mut(SCALE_BYTES);
        widened_scales.copy_from_slice(scales);
        let mut put = |place: usize, group: usize, weights: [v128; 2]| {
            let [a, b] = weights.map(|weights| i16x8_sub(weights, offset));
            let columns = [i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)];
            for (half, rows) in columns.into_iter().enumerate() {
                let at = (2 * place + half) * PAIR_BYTES + group * 16;
                pairs[at..][..16].copy_from_slice(bytemuck::bytes_of(&rows));
            }
        };
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            for (group, rows) in quad.chunks_exact(16).enumerate() {
                let rows: v128 = pod_read_unaligned(rows);
                let weights = [u16x8_extend_low_u8x16(rows), u16x8_extend_high_u8x16(rows)];
                if FOUR {
                    put(place, group, weights.map(|weights| v128_and(weights, low_nibble)));
                    put(place + 4, group, weights.map(|weights| u16x8_shr(weights, 4)));
                } else {
                    put(place, group, weights);
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
        for ((totals, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
            for ((total, dots), scales) in totals.iter_mut().zip(dots).zip(scales) {
                let scales = f32x4_mul(scales, f32x4_splat(block.scale));
                *total = f32x4_add(*total, f32x4_mul(f32x4_convert_i32x4(dots), scales));
            }
        }
    }
    totals.map(cast)
}
